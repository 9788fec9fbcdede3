//! Every implementation of a trait, auto traits included.

use std::{
    error::Error,
    fmt::{Debug, Display},
    hash::Hash,
    panic::{RefUnwindSafe, UnwindSafe},
    str::FromStr,
    sync::Arc,
};

use flyrpc::{
    ArgumentSpec, Attempt, BodyError, BoxStream, Context, Datagram, Env, Event, Known, Listener,
    MethodSpec, NoSupport, Node, NodeBuilder, NodeId, NodeInfo, Observed, Observer, Outcome,
    ParseNodeIdError, Peer, PeerState, Refusal, Region, Routed, RpcError, ServiceSpec, StartError,
    Support, Target, TokioEnv, Unsupported,
};
use flyrpc_testkit::{
    CallOutcome, Calls, Events, FaultGuard, Occurrence, Release, Rollout, RoundTrips, SimCluster,
    SimClusterBuilder, SimEnv, SimNet, SimNetBuilder, SimNode, Trace, TracedCall, TracedEvent,
};
use serde::{Serialize, de::DeserializeOwned};

/// Compiles only if the type implements the traits.
macro_rules! implements {
    ($type:ty: $($bounds:tt)+) => {
        const _: fn() = || {
            fn check<T: $($bounds)+>() {}
            check::<$type>();
        };
    };
}

implements!(ArgumentSpec:
    Clone + Debug + DeserializeOwned + Eq + PartialEq + Serialize + Send + Sync + Unpin
    + UnwindSafe + RefUnwindSafe
);
implements!(Attempt<'static>:
    Clone + Copy + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe
);
implements!(BodyError:
    Clone + Debug + Display + Eq + Error + Hash + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);
implements!(BoxStream: Debug + Send + Unpin);
implements!(Context: Clone + Debug + Send + Sync + Unpin);
implements!(Event:
    Clone + Debug + Display + Eq + PartialEq + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe
);
implements!(Known:
    Clone + Copy + Debug + Default + Display + Eq + Hash + PartialEq + Send + Sync + Unpin
    + UnwindSafe + RefUnwindSafe
);
implements!(MethodSpec:
    Clone + Debug + DeserializeOwned + Display + Eq + PartialEq + Serialize + Send + Sync + Unpin
    + UnwindSafe + RefUnwindSafe
);
implements!(NoSupport:
    Clone + Debug + Display + Eq + Hash + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);
implements!(Node: Clone + Debug + Send + Sync + Unpin);
implements!(NodeBuilder: Debug + Send + Sync + Unpin);
implements!(NodeId:
    Clone + Debug + DeserializeOwned + Display + Eq + for<'a> From<&'a NodeId>
    + FromStr<Err = ParseNodeIdError> + Hash + Ord + PartialEq + PartialOrd + Serialize + Send
    + Sync + Unpin + UnwindSafe + RefUnwindSafe
);
implements!(NodeInfo:
    Clone + Debug + Display + Eq + Hash + Ord + PartialEq + PartialOrd + Send + Sync + Unpin
    + UnwindSafe + RefUnwindSafe
);
implements!(Observed<'static>: Debug + Send + Sync + Unpin);
implements!(Outcome<'static>: Clone + Copy + Debug + Send + Sync + Unpin);
implements!(ParseNodeIdError:
    Clone + Debug + Display + Eq + Error + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);
implements!(Peer: Clone + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(PeerState:
    Clone + Copy + Debug + Display + Eq + Hash + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);
implements!(Refusal:
    Clone + Copy + Debug + Display + Eq + Hash + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);
implements!(Region:
    AsRef<str> + Clone + Debug + DeserializeOwned + Display + Eq + for<'a> From<&'a Region>
    + for<'a> From<&'a String> + for<'a> From<&'a str> + From<String> + Hash + Ord + PartialEq
    + for<'a> PartialEq<&'a str> + PartialEq<str> + PartialOrd + Serialize + Send + Sync + Unpin
    + UnwindSafe + RefUnwindSafe
);
implements!(Routed: Clone + Debug + Send + Sync + Unpin);
implements!(RpcError: Clone + Debug + Display + Error + Send + Sync + Unpin);
implements!(ServiceSpec:
    Clone + Debug + DeserializeOwned + Eq + PartialEq + Serialize + Send + Sync + Unpin
    + UnwindSafe + RefUnwindSafe
);
implements!(StartError: Debug + Display + Error + Send + Sync + Unpin);
implements!(Support:
    Clone + Debug + Display + Eq + Hash + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);
implements!(Target:
    Clone + Debug + Display + Eq + Hash + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);
implements!(TokioEnv:
    Clone + Copy + Debug + Default + Env + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe
);
implements!(Unsupported:
    Clone + Debug + Display + Eq + Hash + PartialEq + Send + Sync + Unpin + UnwindSafe
    + RefUnwindSafe
);

implements!(tokio::net::TcpListener: Listener);
implements!(tokio::net::UdpSocket: Datagram);

implements!(CallOutcome: Clone + Debug + Display + Eq + PartialEq + Send + Sync + Unpin);
implements!(Calls<'static>:
    Clone + Debug + DoubleEndedIterator + ExactSizeIterator + Iterator<Item = &'static TracedCall>
    + Send + Sync + Unpin
);
implements!(Events<'static>:
    Clone + Debug + DoubleEndedIterator + ExactSizeIterator + Iterator<Item = &'static TracedEvent>
    + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe
);
implements!(FaultGuard: Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(Occurrence:
    Clone + Debug + Display + Eq + PartialEq + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe
);
implements!(Release: Clone + Debug + Default + Send + Sync + Unpin);
implements!(Rollout<'static>: Debug + IntoFuture<Output = ()> + Send + Sync + Unpin);
implements!(RoundTrips: Clone + Debug + Default + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(SimCluster: Clone + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(SimClusterBuilder: Clone + Debug + Send + Sync + Unpin);
implements!(SimEnv: Clone + Debug + Env + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(SimNet: Clone + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(SimNetBuilder: Clone + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(SimNode: Clone + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe);
implements!(Trace: Clone + Debug + Display + Eq + PartialEq + Send + Sync + Unpin);
implements!(TracedCall: Clone + Debug + Eq + PartialEq + Send + Sync + Unpin);
implements!(TracedEvent:
    Clone + Debug + Eq + PartialEq + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe
);

/// Observers can be shared.
#[expect(dead_code, reason = "it only has to compile")]
fn shared<O: Observer>(observer: Arc<O>) -> impl Observer {
    observer
}
