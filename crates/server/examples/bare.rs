//! The least that an HTTP server can be: axum, one handler, one JSON value. The bench of the API measures the node beside it.
//!
//! `bare ADDRESS FILE` answers `GET /trunks/{id}` with the JSON of the file, written anew for each request.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;

/// The allocator of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bare ADDRESS FILE".into());
    };
    let trunk: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let router = Router::new().route("/trunks/{id}", get(read)).with_state(Arc::new(trunk));
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await?;
    Ok(())
}

async fn read(State(trunk): State<Arc<Value>>, Path(_id): Path<String>) -> Response {
    Json(&*trunk).into_response()
}
