//! Workspaces, variables, waiters and leases as a pure state machine: inputs in, effects out.
