//! Lists of targets by name, and schedules of fan-out runs.

use std::time::Duration;

use hyper::Method;
use remuda_model::{Failure, ScheduleId, TargetListId, run::RunView};

use super::{
    Client,
    dto::{
        CreateSchedule, SaveTargets, Schedule, ScheduleDetail, Schedules, TargetList,
        TargetListInfo, TargetLists,
    },
    transport::Call,
};

/// How long very many targets may take to be read, or a run to begin.
const READING: Duration = Duration::from_mins(2);

/// Lists of targets that the cluster keeps under a name.
impl Client {
    /// Keeps lines of targets, such as `web[01-20].example`, under a name, in place of what was
    /// there: at most 256 KiB each, 1,000 lists, 16 MiB together.
    ///
    /// # Errors
    ///
    /// `bad_targets` names the lines that are wrong; `too_much`.
    pub async fn save_targets(
        &self,
        name: &TargetListId,
        lines: Vec<String>,
    ) -> Result<TargetListInfo, Failure> {
        let path = format!("/v1/fanout/targets/{name}");
        let mut call = Call::new(Method::PUT, path).body(&SaveTargets { lines })?;
        call.patience = READING;
        self.transport.json(call).await
    }

    /// The lists of targets, by name.
    pub async fn target_lists(&self) -> Result<Vec<TargetListInfo>, Failure> {
        let call = Call::new(Method::GET, "/v1/fanout/targets");
        Ok(self.transport.json::<TargetLists>(call).await?.lists)
    }

    /// One list of targets, with its lines.
    ///
    /// # Errors
    ///
    /// `unknown_targets`.
    pub async fn target_list(&self, name: &TargetListId) -> Result<TargetList, Failure> {
        self.transport.json(Call::new(Method::GET, format!("/v1/fanout/targets/{name}"))).await
    }

    /// Forgets a list of targets. Schedules that name it begin nothing from then on.
    ///
    /// # Errors
    ///
    /// `unknown_targets`.
    pub async fn remove_targets(&self, name: &TargetListId) -> Result<(), Failure> {
        self.transport
            .nothing(Call::new(Method::DELETE, format!("/v1/fanout/targets/{name}")))
            .await
    }
}

/// Fan-out runs that begin by themselves.
impl Client {
    /// Makes a schedule: at most 1,000, and 16 MiB together. It cannot be changed, but removed and
    /// made anew.
    ///
    /// # Errors
    ///
    /// `bad_schedule` and `bad_targets` name what is wrong; `unknown_targets`; `schedule_exists`;
    /// `too_much`.
    pub async fn create_schedule(&self, schedule: &CreateSchedule) -> Result<Schedule, Failure> {
        let mut call = Call::new(Method::POST, "/v1/fanout/schedules").body(schedule)?;
        call.patience = READING;
        self.transport.json(call).await
    }

    /// The schedules, by name.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, Failure> {
        let call = Call::new(Method::GET, "/v1/fanout/schedules");
        Ok(self.transport.json::<Schedules>(call).await?.schedules)
    }

    /// One schedule, with what its runs do and to whom. Nobody sees its secrets again.
    ///
    /// # Errors
    ///
    /// `unknown_schedule`.
    pub async fn schedule(&self, name: &ScheduleId) -> Result<ScheduleDetail, Failure> {
        self.transport.json(Call::new(Method::GET, schedule_path(name))).await
    }

    /// Lets a schedule begin no more runs.
    ///
    /// # Errors
    ///
    /// `unknown_schedule`.
    pub async fn pause_schedule(&self, name: &ScheduleId) -> Result<Schedule, Failure> {
        self.transport.json(Call::new(Method::POST, schedule_path(name) + "/pause")).await
    }

    /// Lets a schedule go on. What was due meanwhile is not made up for.
    ///
    /// # Errors
    ///
    /// `unknown_schedule`.
    pub async fn resume_schedule(&self, name: &ScheduleId) -> Result<Schedule, Failure> {
        self.transport.json(Call::new(Method::POST, schedule_path(name) + "/resume")).await
    }

    /// Begins a run of a schedule now, also of one that is paused.
    ///
    /// # Errors
    ///
    /// `unknown_schedule`; `schedule_running` while another of its runs goes on, unless they may
    /// overlap; `schedule_failed` says why the run cannot begin. After `outcome_unknown` and
    /// `timed_out` it may have begun: [`schedule`](Self::schedule) shows it.
    pub async fn run_schedule(&self, name: &ScheduleId) -> Result<RunView, Failure> {
        let mut call = Call::new(Method::POST, schedule_path(name) + "/run");
        call.patience = READING;
        self.transport.json(call).await
    }

    /// Forgets a schedule; its runs stay.
    ///
    /// # Errors
    ///
    /// `unknown_schedule`.
    pub async fn remove_schedule(&self, name: &ScheduleId) -> Result<(), Failure> {
        self.transport.nothing(Call::new(Method::DELETE, schedule_path(name))).await
    }
}

fn schedule_path(name: &ScheduleId) -> String {
    format!("/v1/fanout/schedules/{name}")
}
