//! Records as rows of a Parquet file.
//!
//! A row group is written as soon as it has enough rows or bytes, so that memory does not grow with
//! the number of records; what is kept of a written one is where its columns lie.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::{ParquetError, Result},
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};
use remuda::client::dto::RunRecord;

/// The most rows of a row group, and the bytes of texts after which it is written.
const GROUP_ROWS: usize = 10_000;
const GROUP_BYTES: usize = 16 << 20;

/// The columns, in the order in which [`write_group`] writes them.
const COLUMNS: &str = "
message run {
  required int64 index;
  required binary host (STRING);
  required binary outcome (STRING);
  optional int32 status;
  optional int64 started (TIMESTAMP(MILLIS,true));
  required double duration_ms;
  required int32 attempts;
  optional binary worker (STRING);
  optional binary address (STRING);
  optional binary trouble (STRING);
  optional binary message (STRING);
  required binary body (STRING);
  required binary stderr (STRING);
  required boolean truncated;
}";

/// What goes to the file.
type To<'a> = &'a mut (dyn Write + Send);
type Group<'a, 'b> = SerializedRowGroupWriter<'a, To<'b>>;

/// Writes rows.
pub(super) struct Rows<'a> {
    file: SerializedFileWriter<To<'a>>,
    /// Those of the next row group.
    waiting: Vec<RunRecord>,
    waiting_bytes: usize,
    count: u64,
}

impl<'a> Rows<'a> {
    /// Begins a file.
    pub(super) fn new(to: To<'a>) -> Result<Self> {
        let columns = Arc::new(parse_message_type(COLUMNS)?);
        // The least and the greatest value of a row group tell readers what they may skip.
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let file = SerializedFileWriter::new(to, columns, Arc::new(properties))?;
        Ok(Self { file, waiting: Vec::new(), waiting_bytes: 0, count: 0 })
    }

    /// Adds a row.
    pub(super) fn add(&mut self, record: RunRecord) -> Result<()> {
        self.count += 1;
        self.waiting_bytes += record.host.len() + record.body.len() + record.stderr.len();
        self.waiting.push(record);
        if self.waiting.len() >= GROUP_ROWS || self.waiting_bytes >= GROUP_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Ends the file. Tells how many rows it has.
    pub(super) fn finish(mut self) -> Result<u64> {
        if !self.waiting.is_empty() {
            self.write()?;
        }
        self.file.finish()?;
        Ok(self.count)
    }

    fn write(&mut self) -> Result<()> {
        let mut group = self.file.next_row_group()?;
        write_group(&mut group, &self.waiting)?;
        group.close()?;
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(())
    }
}

fn write_group(to: &mut Group<'_, '_>, rows: &[RunRecord]) -> Result<()> {
    required::<Int64Type>(to, rows, |row| row.index.into())?;
    required::<ByteArrayType>(to, rows, |row| row.host.as_str().into())?;
    required::<ByteArrayType>(to, rows, |row| row.outcome.as_str().into())?;
    optional::<Int32Type>(to, rows, |row| row.status)?;
    optional::<Int64Type>(to, rows, started)?;
    required::<DoubleType>(to, rows, |row| milliseconds(row.duration_us))?;
    required::<Int32Type>(to, rows, |row| row.attempts.into())?;
    optional::<ByteArrayType>(to, rows, |row| Some(row.worker.as_ref()?.as_str().into()))?;
    optional::<ByteArrayType>(to, rows, |row| Some(row.address.as_deref()?.into()))?;
    optional::<ByteArrayType>(to, rows, |row| Some(row.trouble.as_ref()?.kind.as_str().into()))?;
    optional::<ByteArrayType>(to, rows, |row| Some(row.trouble.as_ref()?.message.as_str().into()))?;
    required::<ByteArrayType>(to, rows, |row| row.body.as_str().into())?;
    required::<ByteArrayType>(to, rows, |row| row.stderr.as_str().into())?;
    required::<BoolType>(to, rows, |row| row.truncated)
}

/// When the target was contacted, if it was.
fn started(row: &RunRecord) -> Option<i64> {
    if row.started_ms == 0 { None } else { i64::try_from(row.started_ms).ok() }
}

fn milliseconds(us: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for 285 years")]
    let us = us as f64;
    us / 1000.0
}

/// A column with a value in each row.
fn required<T: DataType>(
    to: &mut Group<'_, '_>,
    rows: &[RunRecord],
    value: impl Fn(&RunRecord) -> T::T,
) -> Result<()> {
    let values: Vec<T::T> = rows.iter().map(value).collect();
    column::<T>(to, &values, None)
}

/// A column that some rows have a value of.
fn optional<T: DataType>(
    to: &mut Group<'_, '_>,
    rows: &[RunRecord],
    value: impl Fn(&RunRecord) -> Option<T::T>,
) -> Result<()> {
    let (mut values, mut present) = (Vec::new(), Vec::with_capacity(rows.len()));
    for value in rows.iter().map(value) {
        present.push(i16::from(value.is_some()));
        values.extend(value);
    }
    column::<T>(to, &values, Some(&present))
}

fn column<T: DataType>(
    to: &mut Group<'_, '_>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> Result<()> {
    let column = to.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
    column.typed::<T>().write_batch(values, present, None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::{
        file::{
            metadata::RowGroupMetaData,
            reader::{FileReader as _, SerializedFileReader},
        },
        record::{Row, RowAccessor as _},
    };
    use remuda_model::run::{Outcome, Trouble, TroubleKind};

    use super::*;

    fn answered(index: u32, body: &str) -> RunRecord {
        RunRecord {
            host: format!("web{index}.example"),
            vars: [].into(),
            index,
            outcome: Outcome::Ok,
            status: Some(200),
            trouble: None,
            started_ms: 1_790_000_000_123,
            duration_us: 12_345,
            attempts: 2,
            worker: Some("w1".parse().expect("a name")),
            address: Some("10.0.0.1:443".to_owned()),
            headers: Vec::new(),
            body: body.to_owned(),
            stderr: String::new(),
            truncated: true,
        }
    }

    fn cancelled(index: u32) -> RunRecord {
        RunRecord {
            outcome: Outcome::Cancelled,
            status: None,
            trouble: Some(Trouble::new(TroubleKind::Deadline, "too late")),
            started_ms: 0,
            duration_us: 0,
            attempts: 0,
            worker: None,
            address: None,
            truncated: false,
            ..answered(index, "")
        }
    }

    fn written(records: Vec<RunRecord>) -> SerializedFileReader<File> {
        let (mut file, count) = (tempfile::tempfile().expect("a file"), records.len());
        let mut rows = Rows::new(&mut file).expect("it begins");
        for record in records {
            rows.add(record).expect("it takes rows");
        }
        assert_eq!(rows.finish().expect("it ends"), count as u64);
        SerializedFileReader::new(file).expect("a Parquet file")
    }

    fn read(file: &SerializedFileReader<File>) -> Vec<Row> {
        let rows = file.get_row_iter(None).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let odd = "größe\0\"=1+1\"\r\n\u{1b}[2J";
        let rows = read(&written(vec![answered(7, odd), cancelled(3)]));
        let names: Vec<&str> = rows[0].get_column_iter().map(|(name, _)| name.as_str()).collect();
        let expected = "index host outcome status started duration_ms attempts worker address \
                        trouble message body stderr truncated";
        assert_eq!(names.join(" "), expected);
        let shown = rows[0].get_column_iter().map(|(_, field)| field.to_string());
        let shown: Vec<String> = shown.collect();
        assert_eq!(shown[0], "7");
        assert_eq!(shown[1], "\"web7.example\"");
        assert_eq!(shown[2..4], ["\"ok\"", "200"]);
        assert_eq!(rows[0].get_timestamp_millis(4).expect("a time"), 1_790_000_000_123);
        assert!((rows[0].get_double(5).expect("a time") - 12.345).abs() < 1e-9);
        assert_eq!(shown[6..9], ["2", "\"w1\"", "\"10.0.0.1:443\""]);
        assert_eq!(shown[9..11], ["null", "null"]);
        assert_eq!(rows[0].get_string(11).expect("a text"), odd);
        assert!(rows[0].get_bool(13).expect("a truth"));

        let shown = rows[1].get_column_iter().map(|(_, field)| field.to_string());
        let shown: Vec<String> = shown.collect();
        assert_eq!(shown[2..5], ["\"cancelled\"", "null", "null"]);
        assert_eq!(shown[7..11], ["null", "null", "\"deadline\"", "\"too late\""]);
    }

    #[test]
    fn a_row_group_has_not_too_many_rows_and_not_too_many_bytes() {
        let rows = |file: &SerializedFileReader<File>| {
            let groups = file.metadata().row_groups().iter();
            groups.map(RowGroupMetaData::num_rows).collect::<Vec<_>>()
        };
        let many = u32::try_from(GROUP_ROWS).expect("few") + 1;
        let file = written((0..many).map(cancelled).collect());
        assert_eq!(rows(&file), [10_000, 1]);
        let indices = read(&file).into_iter().map(|row| row.get_long(0).expect("a number"));
        assert!(indices.eq(0..i64::from(many)));

        let large = "x".repeat(GROUP_BYTES / 4);
        let file = written((0..6).map(|index| answered(index, &large)).collect());
        assert_eq!(rows(&file), [4, 2]);
    }

    #[test]
    fn a_run_without_records_is_a_table_without_rows() {
        let file = written(Vec::new());
        assert_eq!(file.metadata().file_metadata().num_rows(), 0);
        assert_eq!(file.metadata().file_metadata().schema_descr().num_columns(), 14);
    }
}
