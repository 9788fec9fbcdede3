//! Faults as they start and end, for who records a run. The text is what a record shows.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use super::{
    Core, SimNet, clock,
    faults::{Fault, Rule},
    host::HostId,
};

pub(crate) type Listen = Arc<dyn Fn(&FaultNews) + Send + Sync>;

/// Something that went wrong, or is right again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultNews {
    Starts(Between),
    Ends(Between),
    Crash(String),
    Restart(String),
    Freeze(String),
    Resume(String),
    /// How many nanoseconds a host's clock is ahead now, without what it has drifted.
    Skew(String, i128),
    /// How many parts per million a host's clock is fast now.
    Drift(String, i128),
}

/// A fault between two places.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Between {
    fault: Fault,
    from: String,
    to: String,
    both_ways: bool,
}

impl SimNet {
    /// Tells `listen` of every fault from now on, instead of who was told before. It is told after
    /// the fault has taken effect, before anyone that it wakes has run, and without a lock.
    pub(crate) fn on_fault(&self, listen: impl Fn(&FaultNews) + Send + Sync + 'static) {
        self.shared.with(|core| core.listener = Some(Arc::new(listen)));
    }
}

impl Core {
    /// Keeps the news until the lock is given back, if anyone listens.
    fn tell(&mut self, news: impl FnOnce(&Core) -> FaultNews) {
        if self.listener.is_some() {
            let news = news(self);
            self.news.push(news);
        }
    }

    pub(super) fn tell_of_host(&mut self, id: HostId, news: impl FnOnce(String) -> FaultNews) {
        self.tell(|core| news(core.host_name(id)));
    }

    pub(super) fn tell_of_way(&mut self, rule: Rule, news: impl FnOnce(Between) -> FaultNews) {
        self.tell(|core| {
            news(Between {
                fault: rule.fault,
                from: rule.from.name(&core.wire).into(),
                to: rule.to.name(&core.wire).into(),
                both_ways: rule.both_ways,
            })
        });
    }
}

impl Display for FaultNews {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            FaultNews::Starts(way) => write!(f, "{way}{}", Amount(way.fault)),
            FaultNews::Ends(way) => write!(f, "heal {way}"),
            FaultNews::Crash(host) => write!(f, "crash {host}"),
            FaultNews::Restart(host) => write!(f, "restart {host}"),
            FaultNews::Freeze(host) => write!(f, "freeze {host}"),
            FaultNews::Resume(host) => write!(f, "resume {host}"),
            FaultNews::Skew(host, 0) => write!(f, "heal skew {host}"),
            FaultNews::Skew(host, nanos) => {
                let by = clock::duration(nanos.unsigned_abs());
                write!(f, "skew {host} {} by {by:?}", if *nanos < 0 { "behind" } else { "ahead" })
            }
            FaultNews::Drift(host, 0) => write!(f, "heal drift {host}"),
            FaultNews::Drift(host, rate) => write!(f, "drift {host} by {rate} ppm"),
        }
    }
}

impl Display for Between {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Cut => "partition",
            Fault::Hold => "hold",
            Fault::Slow(_) => "slow",
            Fault::Jitter(_) => "jitter",
            Fault::Lose(_) => "lose",
            Fault::Throttle(_) => "throttle",
        };
        let arrow = if self.both_ways { "<>" } else { ">" };
        write!(f, "{fault} {} {arrow} {}", self.from, self.to)
    }
}

struct Amount(Fault);

impl Display for Amount {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fault::Cut | Fault::Hold => Ok(()),
            Fault::Slow(extra) => write!(f, " by {extra:?}"),
            Fault::Jitter(up_to) => write!(f, " up to {up_to:?}"),
            Fault::Lose(share) => write!(f, " by {share}"),
            Fault::Throttle(to) => write!(f, " to {to} B/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::*;

    const SOME: Duration = Duration::from_millis(30);

    /// Checks what a network with a host each in iad and hkg tells of `faults`.
    #[track_caller]
    fn check(faults: impl FnOnce(&SimNet), expected: &[&str]) {
        let net = SimNet::builder().build();
        net.add_host("iad-0", "iad");
        net.add_host("hkg-0", "hkg");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (hears, asks) = (Arc::clone(&heard), net.clone());
        net.on_fault(move |news| {
            assert!(format!("{asks:?}").contains("iad-0"), "the lock is free");
            hears.lock().expect("nobody panics with it").push(news.to_string());
        });
        faults(&net);
        assert_eq!(*heard.lock().expect("nobody panics with it"), expected);
    }

    #[test]
    fn faults_between_places_are_told_as_they_start_and_end() {
        check(
            |net| drop(net.partition("iad", "hkg")),
            &["partition iad <> hkg", "heal partition iad <> hkg"],
        );
        check(|net| net.partition_one_way("iad", "hkg").keep(), &["partition iad > hkg"]);
        check(|net| net.slow("iad-0", "hkg", SOME).keep(), &["slow iad-0 <> hkg by 30ms"]);
        check(|net| net.jitter("iad", "hkg", SOME).keep(), &["jitter iad <> hkg up to 30ms"]);
        check(|net| net.throttle("iad", "hkg", 9).keep(), &["throttle iad <> hkg to 9 B/s"]);
        check(|net| net.lose("iad", "hkg", 0.2).keep(), &["lose iad <> hkg by 0.2"]);
    }

    #[test]
    fn each_fault_that_is_healed_is_told_once() {
        let faults = |net: &SimNet| {
            let cut = net.partition_one_way("hkg", "iad");
            net.hold("iad", "hkg").keep();
            net.release("iad", "hkg");
            net.heal("iad", "hkg");
            drop(cut);
        };
        let expected = [
            "partition hkg > iad",
            "hold iad <> hkg",
            "heal hold iad <> hkg",
            "heal partition hkg > iad",
        ];
        check(faults, &expected);
    }

    #[test]
    fn what_happens_to_hosts_is_told_if_it_changes_anything() {
        let faults = |net: &SimNet| {
            let frozen = net.frozen("iad-0");
            net.freeze("iad-0");
            drop(frozen);
            net.resume("iad-0");
            net.resume("iad-0");
            net.restart("iad-0");
            net.kill("iad-0");
            net.restart("iad-0");
            net.crash("hkg-0");
            net.crash("hkg-0");
            net.freeze("hkg-0");
            net.restart("hkg-0");
        };
        let expected = [
            "freeze iad-0",
            "resume iad-0",
            "restart iad-0",
            "crash iad-0",
            "restart iad-0",
            "crash hkg-0",
            "restart hkg-0",
        ];
        check(faults, &expected);
    }

    #[test]
    fn clocks_are_told_with_what_they_are_off_now() {
        let faults = |net: &SimNet| {
            net.skew_ahead("iad-0", SOME);
            drop(net.skewed_behind("iad-0", 2 * SOME));
            net.skew_ahead("iad-0", Duration::ZERO);
            net.drift("iad-0", 200);
            drop(net.drifting("iad-0", -300));
            net.drift("iad-0", 0);
        };
        let expected = [
            "skew iad-0 ahead by 30ms",
            "skew iad-0 behind by 30ms",
            "skew iad-0 ahead by 30ms",
            "heal skew iad-0",
            "drift iad-0 by 200 ppm",
            "drift iad-0 by -100 ppm",
            "drift iad-0 by 200 ppm",
            "heal drift iad-0",
        ];
        check(faults, &expected);
    }
}
