//! Which calls a node accepts: part of its hello, and the payload of state frames, which announce later changes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::service_limits::MAX_SERVICES;
use crate::{
    codec::{
        self,
        bytes::{
            Malformed,
            fields::{self, Unknown},
        },
    },
    types::{Region, ServiceSpec, is_label},
};

/// The number of the field, in a hello and in a state frame.
pub(super) const FIELD: u64 = 3;

/// The part of a hello that may change while a link is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whether the node accepts calls of users. A held node does not.
    pub(crate) accepting: bool,
    /// Whether the node is about to shut down.
    pub(crate) draining: bool,
    /// The primary region in the node's view.
    pub(crate) primary_region: Region,
    /// Services in the hello for which the node currently accepts no calls.
    #[serde(default)]
    pub(crate) withdrawn: Vec<String>,
}

impl State {
    /// Whether the node accepts calls to the services that are not withdrawn.
    pub(crate) fn accepts_calls(&self) -> bool {
        self.accepting && !self.draining
    }

    /// Whether the node does not accept the calls of some service.
    pub(crate) fn is_restricted(&self) -> bool {
        !self.accepts_calls() || !self.withdrawn.is_empty()
    }

    /// Drops the names of withdrawn services that are not among `services`. Such names have no meaning,
    /// and a peer must not control how much memory they take.
    pub(crate) fn limit_to(&mut self, services: &[ServiceSpec]) {
        let withdrawn = std::mem::take(&mut self.withdrawn).into_iter();
        let mut withdrawn: BTreeSet<String> = withdrawn.collect();
        let known = services.iter().filter(|service| withdrawn.remove(&service.name));
        self.withdrawn = known.map(|service| service.name.clone()).collect();
    }

    /// Encodes the payload of a state frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        let mut encoded = Vec::new();
        codec::encode(self, &mut encoded).expect("its types always encode");
        fields::put(FIELD, Unknown::Skip, &encoded, &mut to);
        to
    }

    /// Decodes the payload of a state frame.
    pub(crate) fn decode(from: &[u8]) -> Result<State, Malformed> {
        let mut state = None;
        fields::read(from, |number, value| {
            if number == FIELD {
                state = codec::decode(value).ok();
            }
            Ok(number == FIELD)
        })?;
        let state: State = state.ok_or(Malformed::new("state"))?;
        state.check()?;
        Ok(state)
    }

    /// Checks what a peer has announced.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        if self.withdrawn.len() > MAX_SERVICES {
            return Err(Malformed::new("state that withdraws too many services"));
        }
        if !is_label(self.primary_region.as_str()) {
            return Err(Malformed::new("primary region"));
        }
        Ok(())
    }
}
