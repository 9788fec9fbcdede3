//! A write that takes effect once, no matter how often it is repeated.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flyrpc::{ErrorKind, RpcError, fly_rpc};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// The number of calls after which [`charge`] gives up.
const MAX_CALLS: u32 = 5;

/// Accounts, in the database of the primary region.
#[fly_rpc]
pub trait Accounts {
    /// Charges an account. A repetition with the same `key` returns the result of the first execution. This
    /// is why the method may be declared idempotent.
    #[rpc(primary, idempotent)]
    async fn charge(&self, key: String, charge: Charge) -> Result<Receipt, Declined>;
}

/// The arguments of a charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The account to charge.
    pub account: String,
    /// The amount in cents.
    pub cents: u64,
}

/// A charge that was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The balance of the account after the charge, in cents.
    pub balance: u64,
}

/// Why a charge was not executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Declined {
    /// The balance is less than the amount.
    Balance,
    /// The key belongs to a charge with other arguments.
    KeyReused,
}

/// Charges an account, and repeats the call until its result is known. The caller must store `key` with its
/// intent before the first call, and use it again after a crash.
///
/// # Errors
///
/// Returns the last error if 5 calls fail, or an error that a repetition cannot resolve. The charge may have
/// been executed. A later repetition with the same key returns its result.
pub async fn charge(
    accounts: &AccountsClient,
    key: &str,
    charge: &Charge,
) -> Result<Result<Receipt, Declined>, RpcError> {
    let mut calls = 1;
    loop {
        match accounts.charge(key.to_owned(), charge.clone()).await {
            Err(error) if calls < MAX_CALLS && is_transient(error.kind()) => {
                sleep(Duration::from_millis(100) * 2_u32.pow(calls)).await;
                calls += 1;
            }
            result => return result,
        }
    }
}

/// Whether the same call may succeed later.
fn is_transient(kind: ErrorKind) -> bool {
    use ErrorKind::{Disconnected, NoNode, Refused, Timeout};
    matches!(kind, Disconnected | NoNode | Refused | Timeout)
}

/// Implements [`Accounts`].
#[derive(Debug)]
pub struct Bank(pub Database);

impl Accounts for Bank {
    async fn charge(&self, key: String, charge: Charge) -> Result<Receipt, Declined> {
        self.0.charge(key, charge)
    }
}

/// A stand-in for the database in the primary region. Clones are connections to the same database.
#[derive(Debug, Clone, Default)]
pub struct Database(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    balances: BTreeMap<String, u64>,
    /// The executed charges and their results, by key.
    charges: BTreeMap<String, (Charge, Result<Receipt, Declined>)>,
}

impl Database {
    /// Creates a database with one account.
    pub fn with_account(name: &str, balance: u64) -> Self {
        let balances = BTreeMap::from([(name.to_owned(), balance)]);
        Database(Arc::new(Mutex::new(Tables { balances, charges: BTreeMap::new() })))
    }

    /// Executes a charge and stores its result, in one transaction.
    fn charge(&self, key: String, charge: Charge) -> Result<Receipt, Declined> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((executed, result)) = tables.charges.get(&key) {
            return if *executed == charge { result.clone() } else { Err(Declined::KeyReused) };
        }
        let balance = tables.balances.entry(charge.account.clone()).or_default();
        let result = match balance.checked_sub(charge.cents) {
            Some(rest) => {
                *balance = rest;
                Ok(Receipt { balance: rest })
            }
            None => Err(Declined::Balance),
        };
        tables.charges.insert(key, (charge, result.clone()));
        result
    }

    /// Returns the balance of an account.
    pub fn balance(&self, account: &str) -> Option<u64> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.balances.get(account).copied()
    }
}
