//! Numbers that name live objects, one type each so that they cannot be mixed up.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A frontend, backend or listen section: the `iid` of the statistics, explicit by `id` or counted from 2
    /// (1 is the internal proxy of the CLI).
    ProxyId
    /// A server inside its backend: the `sid` of the statistics, explicit by `id` or counted from 1.
    ServerId
    /// A listener inside its frontend: the `sid` of a socket line, explicit by `id` or counted from 1.
    ListenerId
}
