//! The order in which an attacker repeats what was recorded.

/// The order in which an attacker repeats what was recorded.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// As it was recorded.
    Recorded,
    /// The last one first.
    Reversed,
    /// At random, as this seed determines.
    Shuffled(u64),
}

impl Order {
    /// The orders, with the seed of the one at random.
    pub fn all(seed: u64) -> [Order; 3] {
        [Order::Recorded, Order::Reversed, Order::Shuffled(seed)]
    }

    /// Returns the items in this order.
    pub fn apply<T: Clone>(self, items: &[T]) -> Vec<T> {
        let mut items = items.to_vec();
        match self {
            Order::Recorded => {}
            Order::Reversed => items.reverse(),
            Order::Shuffled(mut random) => {
                for at in (1..items.len()).rev() {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                    items.swap(at, (random >> 33) as usize % (at + 1));
                }
            }
        }
        items
    }
}
