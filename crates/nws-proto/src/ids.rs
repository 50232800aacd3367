//! Identifiers, each its own type.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One connection to the server. Never reused while the server lives; 0 means none.
    SessionId(u64)
);
id!(
    /// Chosen by the client; unique among its requests in flight. 0 is not a request.
    RequestId(u32)
);
id!(
    /// Chosen by the client when it opens or uses a workspace; valid within its session.
    WorkspaceHandle(u32)
);
id!(
    /// Chosen by the client when it binds a variable's name; valid within its session.
    VariableHandle(u32)
);
id!(
    /// One instance of a variable on this server: deleted and made again, it has another.
    VariableId(u64)
);
id!(
    /// A value's place in its variable, from 0, growing by one a value.
    Index(u64)
);
id!(
    /// Chosen by the client for a value that it sends in parts; valid within its session.
    TransferId(u32)
);
id!(
    /// Chosen by the server for a value that a session may read in parts.
    ReadingId(u32)
);
id!(
    /// A value that was handed out and is not finished yet. Unique on this server; 0 means none.
    LeaseId(u64)
);
