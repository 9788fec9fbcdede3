//! What the disks of hosts hold.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::state::HostId;

/// The disks of all hosts of a network.
#[derive(Default)]
pub(super) struct Disks(Mutex<BTreeMap<HostId, Disk>>);

/// The files of one host.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) files: Files,
    /// What a crash leaves.
    pub(super) synced: Files,
}

pub(super) type Files = BTreeMap<String, Bytes>;

impl Disks {
    /// Makes everything that the host has written durable.
    pub(super) fn sync(&self, host: HostId) {
        if let Some(disk) = self.lock().get_mut(&host) {
            disk.synced = disk.files.clone();
        }
    }

    /// Discards what the host has not synced.
    pub(super) fn on_crash(&self, host: HostId) {
        if let Some(disk) = self.lock().get_mut(&host) {
            disk.files = disk.synced.clone();
        }
    }

    pub(super) fn with<R>(&self, host: HostId, act: impl FnOnce(&mut Disk) -> R) -> R {
        act(self.lock().entry(host).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostId, Disk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
