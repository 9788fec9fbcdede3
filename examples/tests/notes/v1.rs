//! The first release. Only its trait is kept here, and the current notebook implements it.

use flyrpc_examples::notes::{Database, Found, Note, Notebook, Unavailable};
use flyrpc_testkit::Release;

/// The service of the first release, without tags.
#[flyrpc::fly_rpc]
pub(crate) trait Notes {
    #[rpc(primary, idempotent, detached)]
    async fn write(&self, request: String, title: String, text: String) -> u64;
    #[rpc(idempotent)]
    async fn read(&self, title: String) -> Result<Option<Found>, Unavailable>;
    #[rpc(primary, idempotent, timeout = "1s")]
    async fn look_up(&self, title: String) -> Option<Note>;
    #[rpc(idempotent)]
    async fn keep(&self, note: Note);
}

impl Notes for Notebook {
    async fn write(&self, request: String, title: String, text: String) -> u64 {
        flyrpc_examples::notes::Notes::write(self, request, title, text, None).await
    }

    async fn read(&self, title: String) -> Result<Option<Found>, Unavailable> {
        flyrpc_examples::notes::Notes::read(self, title).await
    }

    async fn look_up(&self, title: String) -> Option<Note> {
        flyrpc_examples::notes::Notes::look_up(self, title).await
    }

    async fn keep(&self, note: Note) {
        flyrpc_examples::notes::Notes::keep(self, note).await;
    }
}

pub(crate) fn release(database: &Database) -> Release {
    let database = database.clone();
    Release::new().boot(move |_node, builder| {
        let notebook = Notebook::new(database.clone());
        async move {
            let builder = builder.serve(ServeNotes::new(notebook.clone()));
            builder.start().await.inspect(|node| notebook.open(node))
        }
    })
}
