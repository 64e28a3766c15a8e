//! Test harness: namespaces, processes, peers; everything it makes is removed on drop.
