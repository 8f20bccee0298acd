//! The replicated state: entries of the log, snapshots, and what replicas send each other.

use remuda_model::Release;
use remuda_state::{Batch, Change, ClusterState, Command, Gather};

use super::samples;

/// Reads entries one after the other and applies them to a state in which something has happened.
/// The state checks its invariants after each.
pub(super) fn changes(input: &[u8]) {
    let mut state = samples::state();
    let mut index = state.applied();
    for piece in input.split(|byte| *byte == 0xfe) {
        let Ok(batch) = remuda_state::decode::<Batch>(piece) else { continue };
        let written = remuda_state::encode(&batch);
        assert_eq!(remuda_state::decode::<Batch>(&written).ok().as_ref(), Some(&batch));
        index += 1;
        if batch.understood_by(Release::CURRENT.protocol).is_ok() {
            let applied = state.apply_batch(index, &batch);
            assert_eq!(applied.len(), batch.commands().len());
        }
    }
}

pub(super) fn change_seeds() -> Vec<Vec<u8>> {
    let written = |change: Change| remuda_state::encode(&Command::with_id([4; 16], change));
    let each: Vec<_> = samples::changes().into_iter().map(written).collect();
    let all = each.join(&0xfe_u8);
    let mut commands = samples::changes().into_iter().skip(1).map(Command::once);
    let mut together = commands.next().map(|first| Gather::new(first, 1)).expect("several");
    let _alone: Vec<Command> = commands.filter_map(|one| together.add(one, 1)).collect();
    [each, vec![all, remuda_state::encode(&together.finish())]].concat()
}

pub(super) fn snapshot(input: &[u8]) {
    if let Ok(state) = remuda_state::decode::<ClusterState>(input) {
        let written = remuda_state::encode(&state);
        let again = remuda_state::decode::<ClusterState>(&written).expect("our own bytes");
        assert_eq!(again.hash(), state.hash());
    }
}

pub(super) fn snapshot_seeds() -> Vec<Vec<u8>> {
    vec![remuda_state::encode(&samples::state()), remuda_state::encode(&ClusterState::new())]
}

/// Records of the log, files with checksums, and calls between replicas.
pub(super) fn replica(input: &[u8]) {
    remuda_store::read_records(input);
}

pub(super) fn replica_seeds() -> Vec<Vec<u8>> {
    vec![
        // A log id, as its golden test has it.
        vec![0xA1, 0, 0, 0, 3, 0x1b, 0x39, 0x8a, 0x66, 3, 4, 5],
        remuda_store::sample_record(&[1, 2, 3, 0]).expect("short"),
        b"\x02c1\x02c2\x00\x03".to_vec(),
        b"\x02c1\x02c2\x00\x01\x05\x01\x02c1\x01\x00".to_vec(),
    ]
}
