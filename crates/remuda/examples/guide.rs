//! The program of the guide (`docs/guide`): chooses a node, asks it, sends it a file, has a function
//! called there.
//!
//! ```sh
//! remuda dev -- sh -c 'remuda node label dev4 gpu && cargo run -p remuda --example guide'
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use anyhow::{Context as _, Result, bail};
use remuda::client::{
    Client, LocalFile,
    dto::{FileLine, FileSource, SendFile},
};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    // The address and the token come from REMUDA_ADDR and REMUDA_TOKEN.
    let client = Client::from_env()?;
    let nodes = client.nodes_on(&"gpu && status==ready".parse()?).await?;
    let node = &nodes.first().context("no node that is ready has the label `gpu`")?.id;

    let info = client.request(node, &"node".parse()?, json!("info"), None).await?;
    println!("{node} runs {}", info["kernel"]);

    let path = std::env::temp_dir().join("guide.txt");
    std::fs::write(&path, "from a program")?;
    let file = LocalFile::read(&path).await?;
    client.upload(&path, &file, |_bytes| {}).await?;
    let request = SendFile {
        source: FileSource::Artifact { digest: file.digest, size: file.size },
        nodes: vec![node.clone()],
        path: path.to_str().map(str::to_owned),
        name: None,
        mode: Some(0o600),
        keep_existing: false,
    };
    let mut lines = client.send_file(&request).await?;
    while let Some(line) = lines.next().await? {
        match line {
            FileLine::Done { path, .. } => {
                println!("guide.txt is there: {}", path.unwrap_or_default());
            }
            FileLine::Failed { node, error } => bail!("{node}: {error}"),
            _ => {}
        }
    }
    std::fs::remove_file(path)?;

    let call = json!({"call": {"source": "(a, b) => a * b", "args": [6, 7]}});
    let product = client.request(node, &"node".parse()?, call, None).await?;
    println!("the function says {product}");
    Ok(())
}
