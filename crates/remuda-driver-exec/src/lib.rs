//! Processes on a node, kept by a holder that outlives the agent.
