//! `conclave access`.

use crate::error::CliError;
use crate::parse::{Role, keyring, principal};
use crate::session::Session;
use crate::{show, table};
use clap::{Args, Subcommand};
use conclave_client::v1;
use serde_json::json;

const EXAMPLE: &str = "\
Examples:
  conclave access grant billing-app user payments
  conclave access grant alice admin '*'

Roles: a user uses keys; a user who also holds use-compromised decrypts with compromised ones;
an operator moves keys through their states; an admin creates and changes them and grants roles. On
'*' an operator may also seal and unseal, and an admin may hold the ceremony.";

#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// Give a principal a role on a keyring
    #[command(after_help = EXAMPLE)]
    Grant(GrantArgs),
    /// Take it back
    #[command(after_help = "Example:\n  conclave access revoke billing-app user payments")]
    Revoke(GrantArgs),
    /// Show who may do what, as far as you may see
    #[command(after_help = "Examples:\n  conclave access list\n  conclave access list billing-app")]
    List {
        /// Only of this principal
        #[arg(value_parser = principal)]
        principal: Option<String>,
    },
    /// Show who you are to the cluster, and what you may do
    #[command(after_help = "Example:\n  conclave access whoami")]
    Whoami,
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Whom, by the name in the certificate
    #[arg(value_parser = principal)]
    principal: String,
    /// What it may do
    #[arg(value_enum)]
    role: Role,
    /// Where: a keyring, or '*' for all
    #[arg(value_parser = keyring)]
    keyring: String,
}

pub(crate) async fn run(command: AccessCommand, session: &Session) -> Result<(), CliError> {
    let client = session.client()?;
    match command {
        AccessCommand::Grant(args) => {
            let grant = v1::Grant::from(args);
            let request = v1::GrantRequest {
                request_id: Vec::new(),
                grant: Some(grant.clone()),
            };
            client.grant(request).await?;
            done("granted", &grant, session)
        }
        AccessCommand::Revoke(args) => {
            let grant = v1::Grant::from(args);
            let request = v1::RevokeRequest {
                request_id: Vec::new(),
                grant: Some(grant.clone()),
            };
            client.revoke(request).await?;
            done("revoked", &grant, session)
        }
        AccessCommand::List { principal } => {
            let principal = principal.unwrap_or_default();
            let request = v1::ListGrantsRequest {
                principal,
                ..v1::ListGrantsRequest::default()
            };
            let grants = client.list_grants(request).await?.grants;
            let json =
                || json!({ "grants": grants.iter().map(show::grant_json).collect::<Vec<_>>() });
            session.output.print(|| text(&grants), json)
        }
        AccessCommand::Whoami => {
            let me = client.who_am_i(v1::WhoAmIRequest {}).await?;
            let json = || {
                let grants: Vec<_> = me.grants.iter().map(show::grant_json).collect();
                json!({ "principal": me.principal, "grants": grants })
            };
            session
                .output
                .print(|| format!("{}\n\n{}", me.principal, text(&me.grants)), json)
        }
    }
}

impl From<GrantArgs> for v1::Grant {
    fn from(args: GrantArgs) -> Self {
        let role = match args.role {
            Role::Admin => v1::Role::Admin,
            Role::Operator => v1::Role::Operator,
            Role::User => v1::Role::User,
            Role::UseCompromised => v1::Role::UseCompromised,
        };
        Self {
            principal: args.principal,
            keyring: args.keyring,
            role: role.into(),
        }
    }
}

fn done(what: &str, grant: &v1::Grant, session: &Session) -> Result<(), CliError> {
    let v1::Grant {
        principal,
        keyring,
        role,
    } = grant;
    let role = show::role(*role);
    let text = || format!("{what}: {role} on {keyring} for {principal}");
    session
        .output
        .print(text, || json!({ what: show::grant_json(grant) }))
}

fn text(grants: &[v1::Grant]) -> String {
    let row = |grant: &v1::Grant| {
        vec![
            grant.principal.clone(),
            show::role(grant.role),
            grant.keyring.clone(),
        ]
    };
    table::render(
        &["PRINCIPAL", "ROLE", "KEYRING"],
        &grants.iter().map(row).collect::<Vec<_>>(),
    )
}
