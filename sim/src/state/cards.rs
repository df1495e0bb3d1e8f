//! Cards in the form of a saved state, and what is bound to them.

use bpf::syscall::{SavedCard, SavedSystem};
use serde::{Deserialize, Serialize};

/// Cards, and the number that was given last to one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardsForm {
    pub last: u32,
    cards: Vec<CardForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CardForm {
    id: u32,
    name: String,
    profile: String,
    devices: Vec<u32>,
}

/// A card, and the network device that something is bound to; none where the card has gone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BoundForm {
    card: u32,
    device: Option<u32>,
}

impl BoundForm {
    pub fn of(bound: Option<(u32, Option<u32>)>) -> Option<BoundForm> {
        bound.map(|(card, device)| BoundForm { card, device })
    }

    pub fn saved(bound: Option<BoundForm>) -> Option<(u32, Option<u32>)> {
        bound.map(|bound| (bound.card, bound.device))
    }
}

impl CardsForm {
    /// The cards of a state that has, or had, any.
    pub fn of(saved: &SavedSystem) -> Option<CardsForm> {
        let card = |card: &SavedCard| CardForm {
            id: card.id,
            name: card.name.clone(),
            profile: card.driver.clone(),
            devices: card.ports.clone(),
        };
        let cards = || CardsForm { last: saved.last_card, cards: saved.cards.iter().map(card).collect() };
        (saved.last_card > 0).then(cards)
    }

    pub fn saved(self) -> Vec<SavedCard> {
        let card =
            |card: CardForm| SavedCard { id: card.id, name: card.name, driver: card.profile, ports: card.devices };
        self.cards.into_iter().map(card).collect()
    }
}
