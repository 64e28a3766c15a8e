//! Threads and CPUs (configuration manual, 3.1 `cpu-map`, `cpu-policy`, `cpu-set`, `thread-groups`; 5.1 `thread`).

use proxy_types::{Span, Spanned};

/// Numbers that a word such as `1-4`, `odd` or `3-` stands for; the bounds are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    All,
    Even,
    Odd,
    Range { first: u32, last: u32 },
}

impl Numbers {
    pub fn contains(self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Even => number.is_multiple_of(2),
            Self::Odd => !number.is_multiple_of(2),
            Self::Range { first, last } => (first..=last).contains(&number),
        }
    }
}

/// Threads: all of the process by number, or those of a thread group by their number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadSet {
    pub group: Option<Numbers>,
    pub threads: Numbers,
}

/// `cpu-map`: what threads run on which CPUs. A later line counts more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuMap {
    pub span: Span,
    /// `auto:`: one CPU for each thread, in order.
    pub auto: bool,
    pub groups: Numbers,
    pub threads: Numbers,
    /// In ascending order, without duplicates.
    pub cpus: Vec<u32>,
}

/// `thread-group <group> [<range>...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadGroup {
    pub group: u32,
    pub threads: Vec<Numbers>,
}

/// What a step of `cpu-set` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuPlace {
    Cpu,
    Cluster,
    Core,
    Node,
    /// Number of the hardware thread in its core.
    Thread,
}

/// One step of `cpu-set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuStep {
    /// Undoes limits that the process was started with.
    Reset,
    /// Keeps (`only-`) or leaves (`drop-`) the CPUs of these places.
    Filter { keep: bool, place: CpuPlace, numbers: Vec<u32> },
}

/// `cpu-policy`. [`CpuPolicy::None`] leaves the placement of threads to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuPolicy {
    /// The most economical cores.
    Efficiency,
    /// The CPUs of the first NUMA node that has some.
    FirstUsableNode,
    /// A thread group for this many core complexes (shared last level cache).
    GroupByCcx(u8),
    /// A thread group for this many clusters.
    GroupByCluster(u8),
    #[default]
    None,
    /// The fastest cores.
    Performance,
    /// One cluster only, the most economical.
    Resource,
}

/// `cpu-affinity`: what CPUs of its group a thread is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuAffinity {
    #[default]
    Auto,
    PerCcx,
    PerCore,
    PerGroup,
    PerThread,
}

/// Where threads run.
#[derive(Clone, Debug, Default)]
pub struct Cpus {
    pub affinity: Option<Spanned<CpuAffinity>>,
    pub maps: Vec<CpuMap>,
    pub policy: Option<Spanned<CpuPolicy>>,
    /// `threads-per-core 1` of `cpu-policy`.
    pub one_thread_per_core: bool,
    /// Steps of all `cpu-set` lines.
    pub set: Vec<CpuStep>,
    /// `no numa-cpu-mapping`.
    pub no_numa_mapping: Option<Span>,
    /// 16 by default.
    pub max_threads_per_group: Option<Spanned<u32>>,
    pub groups: Option<Spanned<u32>>,
    pub group_threads: Vec<ThreadGroup>,
    /// `thread-hard-limit`.
    pub hard_limit: Option<Spanned<u32>>,
}
