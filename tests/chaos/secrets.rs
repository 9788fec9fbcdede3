//! The secrets of the nodes of a run, which rollouts can rotate.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use flyrpc::Keyring;

/// How many rollouts have changed the secret of a node. A rollout adds a key before the other keys, or removes the old
/// key, in turn. So two successive stages share a key.
type Stage = u8;

/// The secrets with which nodes start.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// The stage of each node. A node without an entry is at the first stage.
    stages: Mutex<BTreeMap<String, Stage>>,
    /// Locked by the rollout that rotates the secret.
    rotation: tokio::sync::Mutex<Stage>,
}

/// A rollout that rotates the secret.
pub(super) struct Rotation<'a> {
    secrets: &'a Secrets,
    stage: tokio::sync::MutexGuard<'a, Stage>,
}

impl Secrets {
    /// The secret with which a node starts now.
    pub(super) fn of(&self, node: &str) -> Keyring {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        keyring(stages.get(node).copied().unwrap_or_default())
    }

    /// Starts to rotate the secret, unless another rollout does. All nodes must be at one stage before the next
    /// rotation, or two of them might share no key.
    pub(super) fn rotate(&self) -> Option<Rotation<'_>> {
        let stage = self.rotation.try_lock().ok()?;
        Some(Rotation { secrets: self, stage })
    }
}

impl Rotation<'_> {
    /// Makes a node start with the next secret from now on.
    pub(super) fn advance(&self, node: &str) {
        let mut stages = self.secrets.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.insert(node.to_owned(), *self.stage + 1);
    }

    /// Ends the rotation, after all nodes have started with the next secret.
    pub(super) fn complete(mut self) {
        *self.stage += 1;
    }
}

/// The keyring of a stage: 1, then 2 and 1, then 2, then 3 and 2, and so on.
fn keyring(stage: Stage) -> Keyring {
    let old = stage / 2 + 1;
    let key = |number: Stage| format!("{number:02x}").repeat(32);
    let keys =
        if stage.is_multiple_of(2) { key(old) } else { format!("{},{}", key(old + 1), key(old)) };
    Keyring::parse(&keys).expect("the keys are valid")
}
