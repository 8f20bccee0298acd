//! Which calls there are, and what they demand.

use remuda_control::Scope;

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    RunAsync,
    RunGroup,
    RunAdhoc,
    RunSingleServer,
    RunJson,
    RunJsonEach,
    ShowCommand,
    ShowGroup,
    ShowData,
    JobInfo,
    JobQueue,
    SearchHost,
    Progress,
    ElapsedTime,
    State,
    WorkerLoad,
    ClusterState,
    ClusterList,
    EnableMember,
    DisableMember,
    CreateNode,
    ShutdownNode,
    ResetScheduler,
}

/// Paths as they are documented, what they demand, and the last part of `SHOW_COMMAND` in its own way.
const ENDPOINTS: [(&str, Endpoint, Scope); 22] = {
    use Endpoint as E;
    use Scope::{Operate, Read};
    [
        (
            "/commands/generateUpdateSendAgentCommandToNodeGroupForAsyncPolling",
            E::RunAsync,
            Operate,
        ),
        ("/commands/generateUpdateSendAgentCommandToNodeGroup", E::RunGroup, Operate),
        ("/commands/generateUpdateSendAgentCommandToAdhocNodeGroup", E::RunAdhoc, Operate),
        ("/commands/commandToSingleTargetServer", E::RunSingleServer, Operate),
        ("/commands/genUpdateSendCommandWithReplaceVarMapAdhocJson", E::RunJson, Operate),
        (
            "/commands/genUpdateSendCommandWithReplaceVarMapNodeSpecificAdhocJson",
            E::RunJsonEach,
            Operate,
        ),
        ("/nodeGroups/nodeGroupType", E::ShowGroup, Read),
        ("/agents/getAgentData", E::ShowData, Read),
        ("/distributedAgents/queryJobInfo", E::JobInfo, Read),
        ("/distributedAgents/queryJobQ", E::JobQueue, Read),
        ("/distributedAgents/searchFqdn", E::SearchHost, Read),
        ("/distributedAgents/queryProgress", E::Progress, Read),
        ("/distributedAgents/queryElapsedTime", E::ElapsedTime, Read),
        ("/distributedAgents/queryState", E::State, Read),
        ("/distributedAgents/queryWorkerLoad", E::WorkerLoad, Read),
        ("/distributedAgents/queryClusterState", E::ClusterState, Read),
        ("/distributedAgents/getClusterList", E::ClusterList, Read),
        ("/distributedAgents/enableClusterMember", E::EnableMember, Operate),
        ("/distributedAgents/disableClusterMember", E::DisableMember, Operate),
        ("/distributedAgents/createNode", E::CreateNode, Operate),
        ("/distributedAgents/shutdownNode", E::ShutdownNode, Operate),
        ("/distributedAgents/resetScheduler", E::ResetScheduler, Operate),
    ]
};
/// What stands before the id of a command.
const SHOW_COMMAND: &str = "/commands/agentCommandType/";

/// The call of a path, in whatever case, and what stands after it.
pub(crate) fn find(path: &str) -> Option<(Endpoint, Scope, &str)> {
    let prefix = path.get(..SHOW_COMMAND.len());
    if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(SHOW_COMMAND)) {
        let id = &path[SHOW_COMMAND.len()..];
        return (!id.is_empty()).then_some((Endpoint::ShowCommand, Scope::Read, id));
    }
    let found = ENDPOINTS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(path));
    found.map(|(_, endpoint, scope)| (*endpoint, *scope, ""))
}

/// The scope that the token of a caller of this path must have; nothing if there is no such path.
pub fn scope_of(path: &str) -> Option<Scope> {
    find(path).map(|(_, scope, _)| scope)
}

impl Endpoint {
    /// Whether the body is JSON, whatever is said of it.
    pub(crate) fn takes_json(self) -> bool {
        matches!(self, Self::RunJson | Self::RunJsonEach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter() {
        let found = find("/DISTRIBUTEDagents/queryjobq").expect("a call");
        assert_eq!((found.0, found.1), (Endpoint::JobQueue, Scope::Read));
        let found = find("/commands/AGENTcommandtype/GET_X").expect("a call");
        assert_eq!((found.0, found.2), (Endpoint::ShowCommand, "GET_X"));
        assert_eq!(scope_of("/distributedAgents/createNode"), Some(Scope::Operate));
        for none in
            ["/", "/commands", "/commands/agentCommandType/", "/distributedAgents/queryJobQ/", "/é"]
        {
            assert_eq!(scope_of(none), None, "{none}");
        }
    }
}
