//! How a new process learns what was in the tables: from the one it replaces first, then from one of the others
//! (peers-v2.0.txt, "Initial full resync process").

use std::time::Duration;

use proxy_state::Now;

/// How long somebody is waited for who can teach.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How far a section has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// The process that is replaced is going to connect.
    Local { until: Now, taught: bool },
    /// One of the others is asked as soon as it is connected.
    Remote { until: Now, teacher: Option<usize> },
    /// Everything is known that can be known.
    Done,
}

impl Lesson {
    /// The beginning: `expected` tells that an older process is there.
    pub fn begin(expected: bool, now: Now) -> Self {
        let until = now + PATIENCE;
        match expected {
            true => Self::Local { until, taught: false },
            false => Self::Remote { until, teacher: None },
        }
    }

    pub fn is_done(self) -> bool {
        self == Self::Done
    }

    /// When [`Lesson::expire`] has something to do.
    pub fn deadline(self) -> Option<Now> {
        match self {
            Self::Local { until, taught: false } | Self::Remote { until, teacher: None } => {
                Some(until)
            }
            _ => None,
        }
    }

    /// Nobody came in time: the next ones are asked, or it is left at that.
    pub fn expire(&mut self, now: Now) -> bool {
        if self.deadline().is_none_or(|until| now < until) {
            return false;
        }
        *self = match *self {
            Self::Local { .. } => Self::begin(false, now),
            _ => Self::Done,
        };
        true
    }

    /// The older process is connected.
    pub fn local_connected(&mut self) {
        if let Self::Local { taught, .. } = self {
            *taught = true;
        }
    }

    /// Whether a peer that is connected is to be asked now.
    pub fn ask(&mut self, peer: usize) -> bool {
        match self {
            Self::Remote { teacher: teacher @ None, .. } => {
                *teacher = Some(peer);
                true
            }
            _ => false,
        }
    }

    /// Whoever teaches has told everything; `complete` when that is all there is to know.
    pub fn told(&mut self, peer: usize, is_local: bool, complete: bool, now: Now) {
        match *self {
            Self::Local { .. } if is_local && complete => *self = Self::Done,
            Self::Local { .. } if is_local => *self = Self::begin(true, now),
            Self::Remote { teacher: Some(teacher), .. } if teacher == peer && complete => {
                *self = Self::Done;
            }
            _ => self.lost(peer, is_local, now),
        }
    }

    /// The connection is lost: had it something to do with learning, somebody else is waited for.
    pub fn lost(&mut self, peer: usize, is_local: bool, now: Now) {
        match *self {
            Self::Local { taught: true, .. } if is_local => *self = Self::begin(true, now),
            Self::Remote { teacher: Some(teacher), .. } if teacher == peer => {
                *self = Self::begin(false, now);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_process_is_heard_first() {
        let mut lesson = Lesson::begin(true, Now(0));
        assert!(!lesson.ask(1));
        assert!(!lesson.expire(Now(4_999)));
        lesson.local_connected();
        assert_eq!(lesson.deadline(), None);
        lesson.told(0, true, true, Now(100));
        assert!(lesson.is_done());
    }

    #[test]
    fn others_are_asked_one_after_the_other() {
        let mut lesson = Lesson::begin(true, Now(0));
        assert!(lesson.expire(Now(5_000)));
        assert!(lesson.ask(1));
        assert!(!lesson.ask(2));
        lesson.lost(2, false, Now(6_000));
        assert_eq!(lesson.deadline(), None);
        lesson.told(1, false, false, Now(7_000));
        assert_eq!(lesson.deadline(), Some(Now(12_000)));
        assert!(lesson.ask(2));
        lesson.lost(2, false, Now(8_000));
        assert!(!lesson.is_done());
        assert!(lesson.expire(Now(13_000)));
        assert!(lesson.is_done());
    }

    #[test]
    fn an_older_process_that_breaks_off_is_waited_for_again() {
        let mut lesson = Lesson::begin(true, Now(0));
        lesson.local_connected();
        lesson.lost(0, true, Now(1_000));
        assert_eq!(lesson.deadline(), Some(Now(6_000)));
        lesson.told(0, true, false, Now(2_000));
        assert_eq!(lesson, Lesson::Local { until: Now(7_000), taught: false });
    }
}
