//! Sends each event to several sinks: the screen and the journal.

use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Event, Sink};

/// Passes each event to all of its sinks, in their order.
///
/// Events of several tasks are passed one after the other, so all sinks see the same order.
/// Put the journal before the screen: then everything that is shown is already recorded.
pub struct Fanout {
    sinks: Vec<Arc<dyn Sink>>,
    turn: Mutex<()>,
}

impl Fanout {
    /// Passes events to `sinks`.
    pub fn to(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Self { sinks, turn: Mutex::new(()) }
    }
}

impl Sink for Fanout {
    fn take(&self, event: &Event) {
        // The lock guards only the order, which a panic elsewhere cannot break.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for sink in &self.sinks {
            sink.take(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recorder;

    #[test]
    fn every_sink_sees_every_event_in_the_same_order() {
        let (one, two) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
        let fanout = Fanout::to(vec![one.clone(), two.clone()]);
        std::thread::scope(|scope| {
            for task in 0..4 {
                let fanout = &fanout;
                scope.spawn(move || {
                    for n in 0..50 {
                        fanout.take(&Event::Warned { message: format!("{task}/{n}") });
                    }
                });
            }
        });
        assert_eq!(one.events().len(), 200);
        assert_eq!(one.events(), two.events());
    }
}
