//! The callback for one kind of event, and the events that it receives after the lock is released.

use std::sync::Arc;

pub(crate) type Callback<E> = Arc<dyn Fn(&E) + Send + Sync>;

pub(crate) struct Listener<E> {
    callback: Option<Callback<E>>,
    pending: Vec<E>,
}

impl<E> Listener<E> {
    /// Sets the callback. Returns the earlier one, which must be dropped after the lock is released.
    pub(crate) fn set(&mut self, callback: Callback<E>) -> Option<Callback<E>> {
        self.callback.replace(callback)
    }

    /// Stores the event until [`take`](Self::take), if there is a callback.
    pub(crate) fn emit(&mut self, event: impl FnOnce() -> E) {
        if self.callback.is_some() {
            self.pending.push(event());
        }
    }

    /// Takes the events since the last call. The returned function passes them to the callback. Call it after the
    /// lock is released, since the callback is foreign code.
    pub(crate) fn take(&mut self) -> impl FnOnce() + use<E> {
        let callback = self.callback.clone().filter(|_| !self.pending.is_empty());
        let taken = callback.map(|callback| (callback, std::mem::take(&mut self.pending)));
        move || {
            if let Some((callback, events)) = taken {
                events.iter().for_each(|event| callback(event));
            }
        }
    }
}

impl<E> Default for Listener<E> {
    fn default() -> Self {
        Listener { callback: None, pending: Vec::new() }
    }
}
