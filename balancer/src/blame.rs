//! Finds the items that break a whole, by trying halves. Pure, apart from the trial.

/// An item that breaks the whole, and what the trial said of it.
pub type Culprit<T> = (T, String);

/// Finds the items without which the trial passes. `trial` says why a set of items fails.
pub fn culprits<T: Clone>(
    items: &[T],
    trial: &mut dyn FnMut(&[T]) -> Result<(), String>,
) -> Vec<Culprit<T>> {
    match (trial(items), items) {
        (Ok(()), _) | (Err(_), []) => Vec::new(),
        (Err(reason), [only]) => vec![(only.clone(), reason)],
        (Err(_), _) => {
            let (left, right) = items.split_at(items.len() / 2);
            let mut found = culprits(left, trial);
            found.extend(culprits(right, trial));
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_culprit_is_found_with_its_own_reason_in_few_trials() {
        let items: Vec<u32> = (0..500).collect();
        let mut n_trials = 0;
        let mut trial = |items: &[u32]| {
            n_trials += 1;
            match items.iter().find(|item| [17, 400].contains(*item)) {
                Some(item) => Err(format!("{item} is bad")),
                None => Ok(()),
            }
        };
        let found = culprits(&items, &mut trial);
        let expected = [(17, "17 is bad".to_owned()), (400, "400 is bad".to_owned())];
        assert_eq!(found, expected);
        assert!(n_trials < 50, "{n_trials}");
    }
}
