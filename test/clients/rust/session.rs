//! tokio-postgres: pipelining, prepared statements, portals with row limits, COPY, cancel, notifications, transactions.

use std::fmt::{Debug, Display};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{future, stream, SinkExt, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Row, SimpleQueryMessage};

fn said(error: &Error) -> String {
    match error.as_db_error() {
        None => format!("not of the server: {error}"),
        Some(e) => format!(
            "{} {} {:?} {:?} {:?} at {:?} where {:?} {:?}.{:?}.{:?} {:?} {:?} {:?}:{:?} {:?}",
            e.severity(), e.code().code(), e.message(), e.detail(), e.hint(), e.position(), e.where_(), e.schema(),
            e.table(), e.column(), e.datatype(), e.constraint(), e.file(), e.line(), e.routine()
        ),
    }
}

fn say<T: Debug>(what: impl Display, result: Result<T, Error>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: {}", said(&error)),
    }
}

fn named(row: Row) -> (i32, Option<String>) {
    (row.get(0), row.get(1))
}

struct Target {
    port: u16,
    database: String,
    /** Leaves out what the default policy holds, whoever sends it. */
    cautious: bool,
}

impl Target {
    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname(&self.database);
        config
    }

    async fn connect(&self, config: Config) -> Result<(Client, mpsc::UnboundedReceiver<String>), Error> {
        let (client, mut connection) = config.connect(NoTls).await?;
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                let said = match message {
                    AsyncMessage::Notice(n) => format!("notice {} {} {:?} {:?}", n.severity(), n.code().code(), n.message(), n.detail()),
                    AsyncMessage::Notification(n) => format!("notification {} {:?}", n.channel(), n.payload()),
                    _ => "something else".into(),
                };
                if sender.send(said).is_err() {
                    break;
                }
            }
        });
        Ok((client, heard))
    }
}

async fn statements(client: &mut Client, target: &Target) -> Result<(), Error> {
    client.batch_execute("create table t (id int primary key, name text check (name <> 'no'))").await?;
    let insert = client.prepare("insert into t values ($1, $2)").await?;
    let update = client.prepare("update t set name = $2 where id = $1 returning id, name").await?;
    let delete = client.prepare("delete from t where id = $1").await?;
    for id in 1..=12i32 {
        say("insert", client.execute(&insert, &[&id, &format!("näme {id}")]).await);
        say("update", client.query(&update, &[&id, &"changed"]).await.map(|rows| rows.into_iter().map(named).collect::<Vec<_>>()));
        say("delete", client.execute(&delete, &[&(id + 6)]).await);
    }
    // All of these are on their way before the first is answered.
    let piped = future::join_all((100..160i32).map(|id| {
        let (insert, update, delete, client) = (&insert, &update, &delete, &*client);
        async move {
            let name = format!("piped {id}");
            let parameters: [&(dyn ToSql + Sync); 2] = [&id, &name];
            future::join4(
                client.execute(insert, &parameters),
                client.query(update, &[&id, &"changed in the pipe"]),
                client.query_one("select name from t where id = $1", &[&id]),
                client.execute(delete, &[&(id - 50)]),
            )
            .await
        }
    }))
    .await;
    for (inserted, updated, selected, deleted) in piped {
        let name = selected.map(|row| row.get::<_, String>(0));
        println!("piped {:?} {:?} {:?} {:?}", inserted.ok(), updated.map(|rows| rows.len()).ok(), name.ok(), deleted.ok());
    }
    // Each of the statements in the pipe has a Sync of its own: what fails takes nothing along.
    let (a, b, c) = future::join3(
        client.execute(&insert, &[&200i32, &"kept"]),
        client.execute(&insert, &[&200i32, &"again"]),
        client.query_one("select name from t where id = $1", &[&200i32]),
    )
    .await;
    say("first", a);
    say("second", b);
    say("third", c.map(|row| row.get::<_, String>(0)));
    let typing = if target.cautious { "select" } else { "selec 1" };
    for wrong in ["insert into t values (99, 'no')", typing, "select nothing from t", "select 1/0", "update t set nam = 'x' where id = 1", "select 'a'::int"] {
        say("failed", client.execute(wrong, &[]).await);
        say("failed simply", client.batch_execute(wrong).await);
    }
    let before = client.prepare("select * from t where id = $1").await?;
    say("columns", Ok(before.columns().iter().map(|c| (c.name().to_string(), c.type_().name().to_string())).collect::<Vec<_>>()));
    client.batch_execute("alter table t add column extra int default 5").await?;
    say("of another shape", client.query(&before, &[&1i32]).await.map(|rows| rows.len()));
    let messages = client.simple_query("select id, name from t where id < 3; insert into t values (300, 'one of several'); update t set name = 'x' where id = 300").await?;
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => println!("simple {:?} {:?}", row.get(0), row.get(1)),
            SimpleQueryMessage::CommandComplete(n) => println!("simple complete {n}"),
            _ => println!("simple, of rows"),
        }
    }
    say("several that fail", client.batch_execute("insert into t values (301, 'lost'); select 1/0; delete from t where id = 1").await);
    Ok(())
}

async fn transactions(client: &mut Client) -> Result<(), Error> {
    let mut outer = client.transaction().await?;
    say("outer", outer.execute("insert into t values (400, 'outer')", &[]).await);
    let inner = outer.transaction().await?;
    say("inner", inner.execute("update t set name = 'inner' where id = 400", &[]).await);
    say("again", inner.execute("insert into t values (400, 'again')", &[]).await);
    say("aborted", inner.execute("select 1", &[]).await);
    inner.rollback().await?;
    let portal = outer.bind("select id from t where id < $1 order by id", &[&150i32]).await?;
    for _ in 0..3 {
        let rows = outer.query_portal(&portal, 4).await?;
        println!("portal {:?}", rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
        say("between", outer.execute("update t set name = 'between' where id = 3", &[]).await);
    }
    let returning = outer.bind("update t set name = 'in parts' where id between 140 and 149 returning id", &[]).await?;
    for _ in 0..2 {
        say("returned in parts", outer.query_portal(&returning, 6).await.map(|rows| rows.len()));
    }
    outer.commit().await?;
    say("of it", client.query("select id, name from t where id in (3, 400) order by id", &[]).await.map(|rows| rows.into_iter().map(named).collect::<Vec<_>>()));
    let doomed = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::Serializable).read_only(true).start().await?;
    say("read only", doomed.execute("delete from t where id = 400", &[]).await);
    // A transaction that is dropped is rolled back with what is sent next.
    drop(doomed);
    say("after it", client.query_one("select count(*) from t", &[]).await.map(|row| row.get::<_, i64>(0)));
    Ok(())
}

async fn copies(client: &Client) -> Result<(), Error> {
    client.batch_execute("create table copied (id int, note text)").await?;
    for lines in [(0..5000).map(|i| format!("{i}\tnöte {i}\n")).collect::<String>(), "1\tone\ntwo\ttwo\n".into()] {
        let mut sink = Box::pin(client.copy_in::<_, Bytes>("copy copied from stdin").await?);
        for part in lines.into_bytes().chunks(8000) {
            sink.send(Bytes::copy_from_slice(part)).await?;
        }
        say("copied", sink.as_mut().finish().await);
    }
    {
        let mut given_up = Box::pin(client.copy_in::<_, Bytes>("copy copied from stdin").await?);
        given_up.send(Bytes::from_static(b"7\tseven\n")).await?;
    }
    let out = client.copy_out("copy (select * from copied where id < 3 order by id) to stdout").await?;
    say("copied out", out.try_collect::<Vec<_>>().await);
    say("rows", client.query_one("select count(*) from copied", &[]).await.map(|row| row.get::<_, i64>(0)));
    say("from nowhere", client.copy_out("copy nowhere to stdout").await.map(|_| ()));
    Ok(())
}

async fn others(client: &Client, target: &Target) -> Result<(), Error> {
    let (other, mut heard) = target.connect(target.config()).await?;
    other.batch_execute("listen news").await?;
    client.execute("select pg_notify('news', $1)", &[&"first ✓"]).await?;
    client.batch_execute("notify news, 'second'").await?;
    for _ in 0..2 {
        println!("{:?}", heard.recv().await);
    }
    other.batch_execute("drop table if exists not_there").await?;
    println!("{:?}", heard.recv().await);
    let token = client.cancel_token();
    let (slept, cancelled) = future::join(client.execute("select pg_sleep(30)", &[]), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        token.cancel_query(NoTls).await
    })
    .await;
    say("cancel", cancelled);
    say("slept", slept);
    for reset in ["discard all", "reset all"] {
        say(reset, client.batch_execute(reset).await);
    }
    say("alive", client.query_one("select 'yes'", &[]).await.map(|row| row.get::<_, String>(0)));
    let mut config = target.config();
    config.options("-c work_mem=5MB -c extra_float_digits=1").application_name("ä client");
    let (with, _heard) = target.connect(config).await?;
    let found = with.query_one("select current_setting('work_mem'), current_setting('extra_float_digits'), current_setting('application_name')", &[]).await?;
    println!("settings {:?}", (0..3).map(|i| found.get::<_, String>(i)).collect::<Vec<_>>());
    let mut wrong = target.config();
    wrong.dbname("nowhere");
    say("nowhere", target.connect(wrong).await.map(|_| ()));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let given: Vec<String> = std::env::args().collect();
    let target = Target { port: given[1].parse().unwrap(), database: given[2].clone(), cautious: given.len() > 3 };
    let (mut client, _heard) = target.connect(target.config()).await?;
    statements(&mut client, &target).await?;
    transactions(&mut client).await?;
    copies(&client).await?;
    others(&client, &target).await
}
