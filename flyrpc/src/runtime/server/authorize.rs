//! Rules of the user about which calls of other nodes to serve.

use std::{
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    error::{Denied, panic_message},
    proto::wire::status::Status,
    types::NodeInfo,
};

/// A call of another node, as the function passed to [`NodeBuilder::authorize`] sees it before the call's
/// arguments are read.
///
/// [`NodeBuilder::authorize`]: crate::NodeBuilder::authorize
pub struct Admission<'a> {
    pub(super) caller: &'a NodeInfo,
    pub(super) service: &'a str,
    pub(super) method: &'a str,
    pub(super) is_for_primary: bool,
    pub(super) is_relayed: bool,
}

impl<'a> Admission<'a> {
    /// Returns the node that makes the call.
    ///
    /// Its name and its region are claims. Every program that can open a link to this node, such as every
    /// holder of the cluster's secret, can claim any name and region. A rule about them guards against
    /// mistakes only.
    pub fn caller(&self) -> &'a NodeInfo {
        self.caller
    }

    /// Returns the service's name on the wire.
    pub fn service(&self) -> &'a str {
        self.service
    }

    /// Returns the method's name on the wire.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// Returns whether the call may run only on a primary node, because its target is the primary or its
    /// method is `#[rpc(primary)]`. If so, this node considers itself primary.
    pub fn is_for_primary(&self) -> bool {
        self.is_for_primary
    }

    /// Returns whether the caller makes the call for a visitor, such as the command `flyrpc call`, instead of for
    /// itself. If the visitor is connected to this node, the [caller](Self::caller) is the visitor, whose region is
    /// `visitor`.
    ///
    /// A node of this version never makes such a call without marking it, but every program that can open a link to this
    /// node can also make unmarked calls.
    pub fn is_relayed(&self) -> bool {
        self.is_relayed
    }
}

impl fmt::Debug for Admission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Admission");
        shown
            .field("caller", self.caller)
            .field("service", &self.service)
            .field("method", &self.method)
            .field("is_for_primary", &self.is_for_primary);
        // Few calls are.
        if self.is_relayed {
            shown.field("is_relayed", &true);
        }
        shown.finish()
    }
}

type Rule = dyn Fn(&Admission<'_>) -> Result<(), Denied> + Send + Sync;

/// The user's function. Its panics deny the call, and the first one is logged.
pub(crate) struct Authorizer {
    rule: Box<Rule>,
    has_panicked: AtomicBool,
}

impl Authorizer {
    pub(crate) fn new(
        rule: impl Fn(&Admission<'_>) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        Authorizer { rule: Box::new(rule), has_panicked: AtomicBool::new(false) }
    }

    /// # Errors
    ///
    /// Returns the status for the caller if the call is denied.
    pub(super) fn check(&self, admission: &Admission<'_>) -> Result<(), Cow<'static, Status>> {
        match catch_unwind(AssertUnwindSafe(|| (self.rule)(admission))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(denied)) => Err(Cow::Owned(Status::denied(denied.into_reason()))),
            Err(panic) => {
                let message = panic_message(panic);
                if !self.has_panicked.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        panic = %message,
                        caller = %admission.caller,
                        service = admission.service,
                        method = admission.method,
                        "function passed to `authorize` panicked, so the call is denied; later panics \
                         are not logged"
                    );
                }
                // The message may contain what the caller must not learn.
                Err(Cow::Owned(Status::denied("its `authorize` function panicked".to_owned())))
            }
        }
    }
}
