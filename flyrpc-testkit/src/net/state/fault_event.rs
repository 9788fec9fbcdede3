//! Events for the start and end of faults. The trace of a run shows their text.

use std::fmt::{self, Display, Formatter};

use super::{
    clock,
    faults::{Direction, Fault, Rule},
    topology::Topology,
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultEvent {
    Started(PathFault),
    Ended(PathFault),
    Crashed(String),
    Restarted(String),
    Frozen(String),
    Resumed(String),
    /// How many nanoseconds a host's clock is ahead now, excluding drift.
    Skewed(String, i128),
    /// How many parts per million a host's clock is fast now.
    Drifting(String, i128),
}

impl FaultEvent {
    /// Returns the host whose programs the fault stopped.
    pub(crate) fn stopped_host(&self) -> Option<&str> {
        match self {
            FaultEvent::Crashed(host) | FaultEvent::Restarted(host) => Some(host),
            _ => None,
        }
    }
}

/// A fault on the paths between two scopes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PathFault {
    fault: Fault,
    from: String,
    to: String,
    direction: Direction,
}

impl PathFault {
    pub(crate) fn new(rule: Rule, topology: &Topology) -> Self {
        PathFault {
            fault: rule.fault,
            from: rule.from.name(topology).into(),
            to: rule.to.name(topology).into(),
            direction: rule.direction,
        }
    }
}

impl Display for FaultEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            FaultEvent::Started(path) => write!(f, "{path}{}", Magnitude(path.fault)),
            FaultEvent::Ended(path) => write!(f, "heal {path}"),
            FaultEvent::Crashed(host) => write!(f, "crash {host}"),
            FaultEvent::Restarted(host) => write!(f, "restart {host}"),
            FaultEvent::Frozen(host) => write!(f, "freeze {host}"),
            FaultEvent::Resumed(host) => write!(f, "resume {host}"),
            FaultEvent::Skewed(host, 0) => write!(f, "heal skew {host}"),
            FaultEvent::Skewed(host, nanos) => {
                let by = clock::duration(nanos.unsigned_abs());
                write!(f, "skew {host} {} by {by:?}", if *nanos < 0 { "behind" } else { "ahead" })
            }
            FaultEvent::Drifting(host, 0) => write!(f, "heal drift {host}"),
            FaultEvent::Drifting(host, rate) => write!(f, "drift {host} by {rate} ppm"),
        }
    }
}

impl Display for PathFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Cut => "partition",
            Fault::Hold => "hold",
            Fault::Slow(_) => "slow",
            Fault::Jitter(_) => "jitter",
            Fault::Lose(_) => "lose",
            Fault::FilterTcp => "filter TCP",
            Fault::Throttle(_) => "throttle",
        };
        let arrow = match self.direction {
            Direction::Both => "<>",
            Direction::OneWay => ">",
        };
        write!(f, "{fault} {} {arrow} {}", self.from, self.to)
    }
}

struct Magnitude(Fault);

impl Display for Magnitude {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fault::Cut | Fault::Hold | Fault::FilterTcp => Ok(()),
            Fault::Slow(extra) => write!(f, " by {extra:?}"),
            Fault::Jitter(up_to) => write!(f, " up to {up_to:?}"),
            Fault::Lose(share) => write!(f, " by {share}"),
            Fault::Throttle(to) => write!(f, " to {to} B/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use crate::net::SimNet;

    const SOME: Duration = Duration::from_millis(30);

    /// Checks the events that a network with one host each in iad and hkg emits for `faults`.
    #[track_caller]
    fn check(faults: impl FnOnce(&SimNet), expected: &[&str]) {
        let net = SimNet::builder().build();
        net.add_host("iad-0", "iad");
        net.add_host("hkg-0", "hkg");
        let events = Arc::new(Mutex::new(Vec::new()));
        net.on_fault({
            let (events, net) = (Arc::clone(&events), net.clone());
            move |event| {
                assert!(format!("{net:?}").contains("iad-0"), "the lock is free");
                events.lock().expect("no panic under the lock").push(event.to_string());
            }
        });
        faults(&net);
        assert_eq!(*events.lock().expect("no panic under the lock"), expected);
    }

    #[test]
    fn path_faults_emit_an_event_when_they_start_and_end() {
        check(
            |net| {
                let cut = net.partition("iad", "hkg");
                net.release("iad", "hkg"); // no effect
                drop(cut);
            },
            &["partition iad <> hkg", "heal partition iad <> hkg"],
        );
        check(|net| net.partition_one_way("iad", "hkg").keep(), &["partition iad > hkg"]);
        check(|net| net.slow("iad-0", "hkg", SOME).keep(), &["slow iad-0 <> hkg by 30ms"]);
        check(|net| net.jitter("iad", "hkg", SOME).keep(), &["jitter iad <> hkg up to 30ms"]);
        check(|net| net.throttle("iad", "hkg", 9).keep(), &["throttle iad <> hkg to 9 B/s"]);
        check(|net| net.lose("iad", "hkg", 0.2).keep(), &["lose iad <> hkg by 0.2"]);
        check(|net| net.filter_tcp("iad", "hkg").keep(), &["filter TCP iad <> hkg"]);
    }

    #[test]
    fn each_healed_fault_emits_one_event() {
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
    fn host_faults_emit_an_event_if_they_change_anything() {
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
    fn clock_faults_emit_the_current_skew_and_drift() {
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
