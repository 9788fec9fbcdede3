//! The queues of the cluster task.

use tokio::sync::mpsc;

use super::message::Message;
use crate::runtime::shared::Command;

/// Upper bound on the inputs of each queue that are handled between two publications of the view.
pub(super) const BATCH: usize = 128;

/// One input of the cluster task.
pub(super) enum Input {
    Command(Command),
    Message(Message),
    /// A datagram from another node.
    Datagram(Vec<u8>),
}

/// The queues. They take turns, so that no queue starves another, regardless of how fast it fills.
pub(super) struct Inputs {
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) messages: mpsc::UnboundedReceiver<Message>,
    pub(super) datagrams: mpsc::Receiver<Vec<u8>>,
}

impl Inputs {
    /// Waits for an input. Pending forever if all senders are gone. No input is lost if the future is
    /// dropped.
    pub(super) async fn next(&mut self) -> Input {
        tokio::select! {
            biased;
            Some(command) = self.commands.recv() => Input::Command(command),
            Some(message) = self.messages.recv() => Input::Message(message),
            Some(datagram) = self.datagrams.recv() => Input::Datagram(datagram),
            else => std::future::pending().await,
        }
    }

    /// Takes the next input of each queue, if there is one.
    pub(super) fn take_turn(&mut self) -> impl Iterator<Item = Input> + use<> {
        let command = self.commands.try_recv().ok().map(Input::Command);
        let message = self.messages.try_recv().ok().map(Input::Message);
        let datagram = self.datagrams.try_recv().ok().map(Input::Datagram);
        [command, message, datagram].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_do_not_wait_behind_thousands_of_commands_and_messages() {
        let (command, commands) = mpsc::unbounded_channel();
        let (message, messages) = mpsc::unbounded_channel();
        let (datagram, datagrams) = mpsc::channel(100);
        for _ in 0..10_000 {
            command.send(Command::StateChanged).ok().unwrap();
            message.send(Message::Resolved(String::new(), Ok(Vec::new()))).ok().unwrap();
        }
        for _ in 0..100 {
            datagram.try_send(Vec::new()).unwrap();
        }
        let mut inputs = Inputs { commands, messages, datagrams };
        let batch: Vec<_> = (0..BATCH).flat_map(|_| inputs.take_turn()).collect();
        let count = |kind: fn(&Input) -> bool| batch.iter().filter(|input| kind(input)).count();
        assert_eq!(count(|input| matches!(input, Input::Datagram(_))), 100);
        assert_eq!(count(|input| matches!(input, Input::Command(_))), BATCH);
        assert_eq!(count(|input| matches!(input, Input::Message(_))), BATCH);
    }
}
