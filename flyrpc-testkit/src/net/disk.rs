//! Files of hosts, as programs and tests use them.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;

use super::{
    boot::HostBoot,
    disks::{Disk, Disks},
};

/// The files of one simulated machine, in memory. They outlive the boots of the machine.
///
/// A crash discards every change that was not synced: the content of a file as well as its creation, its removal and its
/// new name. This holds for a crash of the process, too, although the kernel of a real machine would keep what the
/// process had written: a program that passes here does not depend on it.
///
/// The operations take no virtual time and do not wait. After a crash, writes through a handle of the earlier boot
/// fail with [`NetworkDown`](io::ErrorKind::NetworkDown), like all operations of its environment. Reads return what the
/// disk holds, so that a test can inspect it.
///
/// ```
/// # use flyrpc_testkit::SimNet;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> std::io::Result<()> {
/// let net = SimNet::builder().build();
/// let disk = net.add_host("iad-0", "iad").disk();
/// disk.write("log", "first\n")?;
/// disk.sync("log")?;
/// disk.append("log", "second\n")?;
/// assert_eq!(disk.read("log")?, "first\nsecond\n");
///
/// net.crash("iad-0");
/// let disk = net.restart("iad-0").disk();
/// assert_eq!(disk.read("log")?, "first\n");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SimDisk {
    host: HostBoot,
    disks: Arc<Disks>,
}

impl SimDisk {
    pub(super) fn new(host: &HostBoot) -> Self {
        SimDisk { host: host.clone(), disks: Arc::clone(host.disks()) }
    }

    /// Returns the content of a file.
    ///
    /// # Errors
    ///
    /// Returns [`NotFound`](io::ErrorKind::NotFound) if there is no such file.
    pub fn read(&self, path: impl AsRef<str>) -> io::Result<Bytes> {
        let path = path.as_ref();
        self.with(|disk| disk.files.get(path).cloned()).ok_or_else(|| not_found(path))
    }

    /// Returns the names of all files that start with `prefix`, in order.
    pub fn list(&self, prefix: impl AsRef<str>) -> Vec<String> {
        let prefix = prefix.as_ref();
        self.with(|disk| {
            disk.files.keys().filter(|path| path.starts_with(prefix)).cloned().collect()
        })
    }

    /// Creates a file or replaces its content.
    ///
    /// # Errors
    ///
    /// Fails if this boot has crashed.
    pub fn write(&self, path: impl Into<String>, data: impl Into<Bytes>) -> io::Result<()> {
        let (path, data) = (path.into(), data.into());
        self.change(|disk| {
            disk.files.insert(path, data);
            Ok(())
        })
    }

    /// Adds to the end of a file, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// Fails if this boot has crashed.
    pub fn append(&self, path: impl Into<String>, data: impl AsRef<[u8]>) -> io::Result<()> {
        self.change(|disk| {
            let file = disk.files.entry(path.into()).or_default();
            *file = [file, data.as_ref()].concat().into();
            Ok(())
        })
    }

    /// Renames a file, and replaces an earlier one with the new name.
    ///
    /// # Errors
    ///
    /// Fails if there is no file `from`, or if this boot has crashed.
    pub fn rename(&self, from: impl AsRef<str>, to: impl Into<String>) -> io::Result<()> {
        let from = from.as_ref();
        self.change(|disk| {
            let file = disk.files.remove(from).ok_or_else(|| not_found(from))?;
            disk.files.insert(to.into(), file);
            Ok(())
        })
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Fails if there is no such file, or if this boot has crashed.
    pub fn remove(&self, path: impl AsRef<str>) -> io::Result<()> {
        let path = path.as_ref();
        self.change(|disk| disk.files.remove(path).map(drop).ok_or_else(|| not_found(path)))
    }

    /// Makes the current state of one name durable: the content of the file, or its absence.
    ///
    /// # Errors
    ///
    /// Fails if the name has never existed, or if this boot has crashed.
    pub fn sync(&self, path: impl AsRef<str>) -> io::Result<()> {
        let path = path.as_ref();
        self.change(|disk| {
            match disk.files.get(path) {
                Some(file) => drop(disk.synced.insert(path.to_owned(), file.clone())),
                None => drop(disk.synced.remove(path).ok_or_else(|| not_found(path))?),
            }
            Ok(())
        })
    }

    /// Makes everything durable.
    ///
    /// # Errors
    ///
    /// Fails if this boot has crashed.
    pub fn sync_all(&self) -> io::Result<()> {
        self.change(|disk| {
            disk.synced = disk.files.clone();
            Ok(())
        })
    }

    fn change<R>(&self, act: impl FnOnce(&mut Disk) -> io::Result<R>) -> io::Result<R> {
        self.host.check()?;
        self.with(act)
    }

    fn with<R>(&self, act: impl FnOnce(&mut Disk) -> R) -> R {
        self.disks.with(self.host.id(), act)
    }
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no file `{path}`"))
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("files", &self.list("")).finish_non_exhaustive()
    }
}
