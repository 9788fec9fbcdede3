//! The routes and their headers.

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::map_response,
    response::{IntoResponse as _, Response},
    routing::get,
};
use flyrpc::{Node, NodeId};

use crate::{
    collector::{Collected, Collector, Ended},
    parameters::Parameters,
    render::{self, Chosen, Page},
};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

pub(crate) fn router(node: &Node) -> Router {
    let collector = Arc::new(Collector::new(node.downgrade()));
    Router::new()
        .route("/", get(page))
        .route("/status.json", get(json))
        .layer(map_response(secured))
        .with_state(collector)
}

async fn page(State(collector): State<Arc<Collector>>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::parse(query.as_deref().unwrap_or_default());
    // The links of a page are relative, and the page does not know its path.
    if parameters.format.as_deref() == Some("json") {
        return json(State(collector)).await;
    }
    let collected = match collector.collected().await {
        Ok(collected) => collected,
        Err(why) => return ended(&why),
    };
    let page = match (parameters.page.as_deref(), parameters.node) {
        (_, Some(node)) => Page::Node(chosen(&collector, &collected, node).await),
        (Some("nodes"), _) => Page::Nodes,
        (Some("services"), _) => Page::Services,
        (Some("methods"), _) => Page::Methods,
        (Some("links"), _) => Page::Links,
        _ => Page::Overview,
    };
    respond(StatusCode::OK, HTML, render::page(&page, &collected.snapshot))
}

/// The report of the node that the viewer has chosen.
async fn chosen(collector: &Collector, collected: &Collected, id: String) -> Chosen {
    let Ok(node) = id.parse::<NodeId>() else {
        return Chosen { report: Err("this is not the id of a node".to_owned()), id };
    };
    let known = collected.snapshot.nodes.iter().find(|entry| *entry.node.id() == node);
    let report = match (collected.reports.get(&node), known) {
        (Some(report), _) => Ok(Arc::clone(report)),
        (None, None) => Err("no such node is known".to_owned()),
        (None, Some(entry)) if !entry.reason.is_empty() => Err(entry.reason.clone()),
        (None, Some(_)) => collector.report_of(&node).await,
    };
    Chosen { id, report }
}

async fn json(State(collector): State<Arc<Collector>>) -> Response {
    match collector.collected().await {
        Ok(collected) => match serde_json::to_string(&collected.snapshot) {
            Ok(body) => respond(StatusCode::OK, JSON, body),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
        },
        Err(why) => ended(&why),
    }
}

fn ended(why: &Ended) -> Response {
    let why = match why {
        Ended::Dropped => "",
        Ended::Unanswered(error) => error,
    };
    let text =
        format!("The node of this page has ended. Another node may have a status page.\n{why}\n");
    respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response {
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}

/// Adds the headers that keep the page from loading anything, from being framed, and from being stored.
async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(render::CONTENT_SECURITY);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
