//! Pages neither repeat nor skip posts while posts are added.

use flyrpc_examples::patterns::pagination::{
    MAX_PAGE, Posts, ServeTimeline, TimelineClient, read_all,
};
use flyrpc_testkit::SimCluster;

/// Returns a client of a timeline with these numbers as times and texts.
async fn timeline(posts: impl IntoIterator<Item = u64>) -> (SimCluster, TimelineClient) {
    let serve = |_: &_| ServeTimeline::new(Posts::default());
    let cluster = SimCluster::builder().region("iad", 1).serve(serve).start().await;
    let timeline: TimelineClient = cluster.node("iad-0").client();
    for post in posts {
        timeline.post(post, post.to_string()).await.unwrap();
    }
    (cluster, timeline)
}

fn texts(posts: impl IntoIterator<Item = u64>) -> Vec<String> {
    posts.into_iter().map(|post| post.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn posts_added_between_pages_are_neither_repeated_nor_do_they_hide_others() {
    let (_cluster, timeline) = timeline((10..=50).step_by(10)).await;
    let first = timeline.page(None, 2).await.unwrap();
    assert_eq!(first.posts, texts([50, 40]));
    // One at the front, one in the page that was read, and one behind it.
    for post in [60, 45, 25] {
        timeline.post(post, post.to_string()).await.unwrap();
    }
    let second = timeline.page(first.next, 2).await.unwrap();
    assert_eq!(second.posts, texts([30, 25]));
    let third = timeline.page(second.next, 2).await.unwrap();
    assert_eq!(third.posts, texts([20, 10]));
    assert_eq!(third.next, None);
}

#[tokio::test(start_paused = true)]
async fn posts_of_the_same_time_are_on_one_page_each() {
    let (_cluster, timeline) = timeline([]).await;
    for text in ["a", "b", "c"] {
        timeline.post(1, text.into()).await.unwrap();
    }
    let first = timeline.page(None, 2).await.unwrap();
    assert_eq!(first.posts, ["c", "b"]);
    assert_eq!(timeline.page(first.next, 2).await.unwrap().posts, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_service_bounds_the_page() {
    let posts = u64::from(MAX_PAGE) + 1;
    let (_cluster, timeline) = timeline(0..posts).await;
    assert_eq!(timeline.page(None, u32::MAX).await.unwrap().posts.len(), MAX_PAGE as usize);
    assert_eq!(timeline.page(None, 0).await.unwrap().posts.len(), 1);
    assert_eq!(read_all(&timeline).await.unwrap(), texts((0..posts).rev()));
}
