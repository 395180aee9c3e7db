//! `bbq token create|list|revoke`.

use std::time::Duration;

use anyhow::Result;
use bbq_client::proto;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::Global;
use super::argument::{duration, grant};
use super::connection::with_client;
use super::output::Output;
use super::record::{self, object, wire_time};
use super::table::Column;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token; its secret is shown this once
    Create(Create),
    /// List tokens, without their secrets
    List,
    /// End a token at once
    Revoke {
        /// The token's id, as `list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What to call it
    name: String,
    /// publish, consume, manage or admin, and for some queues only `:NAME` or `:PREFIX*`; may be given more than once
    #[arg(long = "grant", value_name = "GRANT", value_parser = grant, required = true)]
    grants: Vec<proto::Grant>,
    /// How long it lasts [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    ttl: Option<Duration>,
}

impl Token {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let mut output = Output::new(global);
        with_client(global, async |client| match self {
            Self::Create(Create { name, grants, ttl }) => {
                let (token, secret) = client.create_token(&name, grants, ttl).await?;
                let mut json = json(&token);
                json.insert("secret".to_owned(), secret.clone().into());
                eprintln!("token {}; keep what follows, it is shown this once:", token.id);
                output.record(secret, &json.into())
            }
            Self::List => {
                let tokens = client.all_tokens().await?;
                let rows = tokens.iter().map(|token| (cells(token), json(token).into())).collect::<Vec<_>>();
                output.rows(
                    ["ID", "NAME", "GRANTS", "CREATED", "EXPIRES"].map(Column::Text),
                    &rows,
                    "no tokens",
                )
            }
            Self::Revoke { id } => {
                client.revoke_token(&id).await?;
                output.record(format_args!("token {id} is revoked"), &json!({"revoked": id}))
            }
        })
        .await
    }
}

fn json(token: &proto::Token) -> Map<String, Value> {
    let grants = token.grants.iter().map(record::grant).collect::<Vec<_>>();
    object([
        ("id", token.id.clone().into()),
        ("name", token.name.clone().into()),
        ("grants", grants.into()),
        ("created_at", wire_time(token.created_at).into()),
        ("expires_at", wire_time(token.expires_at).into()),
    ])
}

fn cells(token: &proto::Token) -> [String; 5] {
    [
        token.id.clone(),
        token.name.clone(),
        token.grants.iter().map(record::grant).collect::<Vec<_>>().join(" "),
        wire_time(token.created_at).unwrap_or_default(),
        wire_time(token.expires_at).unwrap_or_else(|| "never".to_owned()),
    ]
}
