//! `conclave cluster`.

use crate::error::CliError;
use crate::session::Session;
use crate::table;
use clap::Subcommand;
use conclave_client::v1;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the nodes and their addresses
    #[command(after_help = "Example:\n  conclave cluster members")]
    Members,
}

pub(crate) async fn run(command: &ClusterCommand, session: &Session) -> Result<(), CliError> {
    match command {
        ClusterCommand::Members => members(session).await,
    }
}

async fn members(session: &Session) -> Result<(), CliError> {
    let answer = session
        .client()?
        .members(v1::MembersRequest::default())
        .await?;
    let json = || {
        let members = answer.members.iter().map(|member| {
            json!({
                "node_id": member.node_id,
                "name": member.name,
                "api_address": member.api_address,
                "peer_address": member.peer_address,
                "voter": member.voter,
                "leader": member.leader,
            })
        });
        json!({
            "cluster_id": hex::encode(&answer.cluster_id),
            "members": members.collect::<Vec<_>>(),
        })
    };
    session.output.print(|| text(&answer.members), json)
}

fn text(members: &[v1::Member]) -> String {
    let row = |member: &v1::Member| {
        let votes = if member.voter { "voter" } else { "learner" };
        let role = if member.leader { "leader" } else { votes };
        let id = member.node_id.to_string();
        let texts = [
            &member.name,
            &id,
            role,
            &member.api_address,
            &member.peer_address,
        ];
        texts.map(str::to_owned).to_vec()
    };
    let rows: Vec<_> = members.iter().map(row).collect();
    table::render(&["NODE", "ID", "ROLE", "API", "PEER"], &rows)
}
