//! Whole-system tests, all in one binary (each further one would cost seconds of linking).
//!
//! `SLUICE_PEER=haproxy cargo test -p tests` runs them against a real HAProxy, as oracle; those of
//! what only Sluice does pass over it.

mod acme;
mod balance;
mod bandwidth;
mod cache;
mod certificates;
mod chaos;
mod checks;
mod cli;
mod cli_session;
mod clients;
mod compression;
mod config;
mod corpus;
mod ctl;
mod datapath;
mod degrade;
mod differential;
mod dynamic;
mod endurance;
mod expressions;
mod fcgi;
mod h2_floods;
mod h2_streams;
mod handover;
mod http;
mod kernel;
mod limits;
mod logs;
mod maps;
mod master;
mod metrics;
mod names;
mod nginx;
mod ocsp;
mod odd_messages;
mod peers;
mod proxy_protocol;
mod queue;
mod reload;
mod retry;
mod rings;
mod rough_peers;
mod server_connections;
mod server_state;
mod stats_page;
mod stick;
mod survival;
mod tcp;
mod tls;
mod traces;
mod udp;
mod vtc;
