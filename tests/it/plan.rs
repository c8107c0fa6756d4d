//! Plans: which are made, which are refused, and that none loses a quorum.

mod disturbed;
mod foreseen;
mod guards;
mod newcomers;
mod peers;
mod quorum;
mod unfit;
mod users;
mod whole;
