//! A thing that does one job after the other: a line, a link, an engine.

use super::Time;

/// Serves jobs in the order they come. When a job will be done is known as soon as it comes, so it needs no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Server {
    free: Time,
    busy: Time,
    jobs: u64,
}

impl Server {
    /// Takes a job that lasts `span`; says when it begins and ends.
    pub(crate) fn take(&mut self, now: Time, span: Time) -> (Time, Time) {
        let start = self.free.max(now);
        self.free = start + span;
        self.busy += span;
        self.jobs += 1;
        (start, self.free)
    }

    /// When it is done with all it has taken.
    pub(crate) fn free_at(&self) -> Time {
        self.free
    }

    /// How long it has worked until `now`: a job under way counts as far as it has come.
    pub(crate) fn busy_until(&self, now: Time) -> Time {
        self.busy - (self.free - now)
    }

    /// Jobs taken.
    pub(crate) fn jobs(&self) -> u64 {
        self.jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_follow_each_other() {
        let mut server = Server::default();
        let ns = Time::from_ns;
        assert_eq!(server.take(ns(10), ns(5)), (ns(10), ns(15)));
        assert_eq!(server.take(ns(12), ns(5)), (ns(15), ns(20)));
        assert_eq!(server.take(ns(30), ns(5)), (ns(30), ns(35)));
        assert_eq!(server.busy_until(ns(32)), ns(12));
        assert_eq!(server.busy_until(ns(40)), ns(15));
        assert_eq!(server.jobs(), 3);
    }
}
