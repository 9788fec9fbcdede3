//! A charge takes effect once.

use flyrpc::ErrorKind;
use flyrpc_examples::patterns::idempotency::{
    AccountsClient, Bank, Charge, Database, Declined, Receipt, ServeAccounts, charge,
};
use flyrpc_testkit::SimCluster;
use tokio::time::sleep;

use crate::{ms, regions, secs};

async fn cluster() -> (SimCluster, Database) {
    let database = Database::with_account("ada", 1_000);
    let bank = database.clone();
    let cluster = regions().serve(move |_node| ServeAccounts::new(Bank(bank.clone())));
    (cluster.start().await, database)
}

fn accounts(cluster: &SimCluster) -> AccountsClient {
    cluster.node("hkg-0").client()
}

fn cents(cents: u64) -> Charge {
    Charge { account: "ada".into(), cents }
}

#[tokio::test(start_paused = true)]
async fn a_charge_whose_reply_is_lost_is_repeated_and_takes_effect_once() {
    let (cluster, database) = cluster().await;
    let accounts = accounts(&cluster).timeout(secs(1));
    let lost_replies = cluster.partition_one_way("iad", "hkg");
    let error = accounts.charge("order 7".into(), cents(100)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && error.may_have_executed(), "{error}");
    assert_eq!(database.balance("ada"), Some(900), "the charge was executed");

    let repeated = tokio::spawn(async move { charge(&accounts, "order 7", &cents(100)).await });
    sleep(secs(1)).await;
    assert!(!repeated.is_finished(), "replies are still lost");
    drop(lost_replies);
    assert_eq!(repeated.await.unwrap().unwrap(), Ok(Receipt { balance: 900 }));
    assert_eq!(database.balance("ada"), Some(900));
}

#[tokio::test(start_paused = true)]
async fn a_charge_on_a_node_that_crashes_takes_effect_once() {
    let (cluster, database) = cluster().await;
    let lost_replies = cluster.partition_one_way("iad", "hkg");
    let call = tokio::spawn(accounts(&cluster).charge("order 7".into(), cents(100)));
    sleep(ms(101)).await;
    assert_eq!(database.balance("ada"), Some(900), "the charge was executed");
    let trace = cluster.trace();
    let attempt = trace.calls().method("charge").under_way().next().expect("a call is in flight");
    cluster.crash(attempt.node().expect("the call was sent to a node"));
    drop(lost_replies);

    assert_eq!(call.await.unwrap().unwrap(), Ok(Receipt { balance: 900 }));
    assert_eq!(database.balance("ada"), Some(900));
    let trace = cluster.trace();
    assert_eq!(trace.calls().method("charge").count(), 2, "{trace}");
}

#[tokio::test(start_paused = true)]
async fn each_key_is_for_one_charge() {
    let (cluster, database) = cluster().await;
    let accounts = accounts(&cluster);
    for (key, amount, expected) in [
        ("order 7", 100, Ok(Receipt { balance: 900 })),
        ("order 8", 100, Ok(Receipt { balance: 800 })),
        ("order 8", 100, Ok(Receipt { balance: 800 })),
        ("order 7", 500, Err(Declined::KeyReused)),
        ("order 9", 801, Err(Declined::Balance)),
    ] {
        assert_eq!(charge(&accounts, key, &cents(amount)).await.unwrap(), expected, "{key}");
    }
    assert_eq!(database.balance("ada"), Some(800));
}

#[tokio::test(start_paused = true)]
async fn a_charge_fails_after_its_last_call() {
    let (cluster, database) = cluster().await;
    let accounts = accounts(&cluster).timeout(secs(1));
    cluster.partition("iad", "hkg").keep();
    charge(&accounts, "order 7", &cents(100)).await.unwrap_err();
    let trace = cluster.trace();
    let calls: std::collections::BTreeSet<_> =
        trace.calls().method("charge").map(|attempt| attempt.call()).collect();
    assert_eq!(calls.len(), 5, "{trace}");
    assert_eq!(database.balance("ada"), Some(1_000));
}
