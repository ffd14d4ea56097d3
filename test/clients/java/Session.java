import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;
import java.util.Timer;
import java.util.TimerTask;
import java.util.TreeMap;
import javax.sql.XAConnection;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;
import org.postgresql.xa.PGXADataSource;

/** PostgreSQL's JDBC driver in its many modes; what it prints must be the same directly and through the gateway. */
public final class Session {
  private static String url;
  /** Leaves out what the default policy holds, whoever sends it. */
  private static boolean cautious;

  private interface Work {
    Object run() throws Exception;
  }

  private static void say(String what, Work work) {
    String said;
    try {
      Object result = work.run();
      said = result instanceof int[] ? Arrays.toString((int[]) result) : String.valueOf(result);
    } catch (Throwable error) {
      said = said(error);
    }
    System.out.println(what + ": " + said);
  }

  private static String said(Throwable error) {
    StringBuilder out = new StringBuilder();
    if (error instanceof BatchUpdateException) {
      out.append("batch ").append(Arrays.toString(((BatchUpdateException) error).getUpdateCounts())).append(' ');
      SQLException next = ((BatchUpdateException) error).getNextException();
      if (next != null) error = next;
    }
    if (error instanceof PSQLException && ((PSQLException) error).getServerErrorMessage() != null) {
      out.append(fields(((PSQLException) error).getServerErrorMessage()));
    } else if (error instanceof SQLException) {
      out.append(((SQLException) error).getSQLState()).append(' ').append(error.getMessage());
    } else {
      out.append(error);
    }
    return out.toString();
  }

  private static String fields(ServerErrorMessage m) {
    return String.join("|", Arrays.asList(
        m.getSeverity() + "", m.getSQLState() + "", m.getMessage() + "", m.getDetail() + "", m.getHint() + "", m.getPosition() + "",
        m.getInternalPosition() + "", m.getInternalQuery() + "", m.getWhere() + "", m.getSchema() + "", m.getTable() + "",
        m.getColumn() + "", m.getDatatype() + "", m.getConstraint() + "", m.getFile() + "", m.getLine() + "", m.getRoutine() + ""));
  }

  private static Connection connect(String... settings) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", "postgres");
    for (int i = 0; i < settings.length; i += 2) properties.setProperty(settings[i], settings[i + 1]);
    return DriverManager.getConnection(url, properties);
  }

  private static String rows(ResultSet found) throws SQLException {
    ResultSetMetaData data = found.getMetaData();
    StringBuilder out = new StringBuilder();
    for (int i = 1; i <= data.getColumnCount(); i++) {
      out.append(data.getColumnName(i)).append(':').append(data.getColumnTypeName(i)).append(' ');
    }
    while (found.next()) {
      out.append('|');
      for (int i = 1; i <= data.getColumnCount(); i++) {
        boolean hasOid = data.getColumnName(i).equalsIgnoreCase("specific_name");
        out.append(' ').append(hasOid ? "..." : found.getString(i));
      }
    }
    found.close();
    return out.toString();
  }

  private static String query(Connection c, String sql, Object... parameters) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) s.setObject(i + 1, parameters[i]);
      boolean isRows = s.execute();
      String out = isRows ? rows(s.getResultSet()) : "count " + s.getUpdateCount();
      for (SQLWarning w = s.getWarnings(); w != null; w = w.getNextWarning()) {
        out += " warning " + w.getSQLState() + " " + w.getMessage();
      }
      return out;
    }
  }

  private static void statements(String table, String... settings) throws SQLException {
    System.out.println("--- " + String.join(" ", settings));
    try (Connection c = connect(settings)) {
      say("create", () -> query(c, "create table " + table + " (id int primary key, name text check (name <> 'no'), n numeric, d double precision, at timestamptz)"));
      try (PreparedStatement insert = c.prepareStatement("insert into " + table + " values (?, ?, ?, ?, ?)");
          PreparedStatement update = c.prepareStatement("update " + table + " set name = ?, n = n + 1 where id = ?");
          PreparedStatement delete = c.prepareStatement("delete from " + table + " where id = ?");
          PreparedStatement select = c.prepareStatement("select * from " + table + " where id = ?")) {
        for (int i = 1; i <= 12; i++) {
          final int id = i;
          insert.setInt(1, i);
          insert.setString(2, "näme " + i);
          insert.setBigDecimal(3, new BigDecimal("1.50"));
          insert.setDouble(4, i / 3.0);
          insert.setTimestamp(5, new java.sql.Timestamp(1_700_000_000_000L + i));
          say("insert", insert::executeUpdate);
          update.setString(1, "changed " + i);
          update.setInt(2, i);
          say("update", update::executeUpdate);
          select.setInt(1, i);
          say("select", () -> rows(select.executeQuery()));
          delete.setInt(1, i + 5);
          say("delete", delete::executeUpdate);
        }
        // The driver prepares anew by itself where autosave lets it, or no transaction is open.
        say("alter", () -> query(c, "alter table " + table + " add column extra int default 5"));
        for (int i = 0; i < 3; i++) say("after", () -> rows(select.executeQuery()));
        c.setAutoCommit(false);
        say("in transaction", () -> rows(select.executeQuery()));
        say("altered within", () -> query(c, "alter table " + table + " add column more text"));
        say("after", () -> rows(select.executeQuery()));
        say("after", () -> rows(select.executeQuery()));
        say("commit", () -> { c.commit(); return "done"; });
        c.rollback();
        c.setAutoCommit(true);
      }
      String typing = cautious ? "select" : "selec 1";
      for (String wrong : new String[] {
        "insert into " + table + " values (1, 'again')", "insert into " + table + " values (99, 'no')", typing,
        "select nothing from " + table, "select 1/0", "update " + table + " set nam = 'x' where id = 1", "delete from nowhere where id = 1",
        "select 'a'::int", "insert into " + table + " values (null)",
      }) {
        say("failed", () -> query(c, wrong));
      }
      say("keys", () -> {
        try (PreparedStatement s = c.prepareStatement("insert into " + table + " (id, name) values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
          s.setInt(1, 500);
          s.setString(2, "with its keys");
          s.executeUpdate();
          return rows(s.getGeneratedKeys());
        }
      });
      say("keys of an update", () -> {
        try (PreparedStatement s = c.prepareStatement("update " + table + " set name = 'k' where id = ?", new String[] {"id", "name"})) {
          s.setInt(1, 500);
          s.executeUpdate();
          return rows(s.getGeneratedKeys());
        }
      });
      batches(c, table);
      transactions(c, table);
      cursors(c, table);
      say("several", () -> {
        try (Statement s = c.createStatement()) {
          StringBuilder out = new StringBuilder();
          boolean isRows = s.execute("insert into " + table + " (id) values (700); update " + table + " set name = 'several' where id = 700; select name from " + table + " where id = 700; delete from " + table + " where id = 700");
          for (int i = 0; i < 9; i++) {
            if (isRows) out.append(rows(s.getResultSet()));
            else if (s.getUpdateCount() == -1) break;
            else out.append("count ").append(s.getUpdateCount());
            out.append("; ");
            isRows = s.getMoreResults();
          }
          return out;
        }
      });
      say("several that fail", () -> query(c, "insert into " + table + " (id) values (701); select 1/0; delete from " + table + " where id = 701"));
      say("left", () -> query(c, "select * from " + table + " order by id"));
      for (String s : new String[] {"discard all", "reset all", "deallocate all"}) say(s, () -> query(c, s));
      say("after all", () -> query(c, "select count(*) from " + table + " where id > ?", 3));
      say("parameters", () -> new TreeMap<>(c.unwrap(PGConnection.class).getParameterStatuses()));
    } catch (SQLException error) {
      System.out.println("ended by " + said(error));
    }
  }

  private static void batches(Connection c, String table) {
    say("batch", () -> {
      try (PreparedStatement s = c.prepareStatement("insert into " + table + " (id, name) values (?, ?)")) {
        for (int i = 1000; i < 1300; i++) {
          s.setInt(1, i);
          s.setString(2, "batched " + i);
          s.addBatch();
        }
        return s.executeBatch();
      }
    });
    say("batch with keys", () -> {
      try (PreparedStatement s = c.prepareStatement("insert into " + table + " (id) values (?)", new String[] {"id"})) {
        for (int i = 1300; i < 1310; i++) {
          s.setInt(1, i);
          s.addBatch();
        }
        return Arrays.toString(s.executeBatch()) + rows(s.getGeneratedKeys());
      }
    });
    for (String sql : new String[] {"update " + table + " set name = 'b' || ? where id = ?", "delete from " + table + " where ?::text is not null and id = ?"}) {
      say("batch of " + sql, () -> {
        try (PreparedStatement s = c.prepareStatement(sql)) {
          for (int i = 1000; i < 1020; i++) {
            s.setString(1, "x");
            s.setInt(2, i);
            s.addBatch();
          }
          return s.executeBatch();
        }
      });
    }
    say("mixed batch", () -> {
      try (Statement s = c.createStatement()) {
        s.addBatch("insert into " + table + " (id) values (2000)");
        s.addBatch("update " + table + " set name = 'mixed' where id = 2000");
        s.addBatch("delete from " + table + " where id = 2000");
        return s.executeBatch();
      }
    });
    say("failing batch", () -> {
      try (PreparedStatement s = c.prepareStatement("insert into " + table + " (id, name) values (?, ?)")) {
        for (int id : new int[] {3000, 3001, 1, 3002}) {
          s.setInt(1, id);
          s.setString(2, "in a failing batch");
          s.addBatch();
        }
        return s.executeBatch();
      }
    });
    say("of it", () -> query(c, "select id from " + table + " where id >= 3000 order by id"));
  }

  private static void transactions(Connection c, String table) throws SQLException {
    c.setAutoCommit(false);
    say("insert", () -> query(c, "insert into " + table + " (id) values (?)", 4000));
    Savepoint savepoint = c.setSavepoint();
    say("update", () -> query(c, "update " + table + " set name = 'in a savepoint' where id = ?", 4000));
    say("back", () -> { c.rollback(savepoint); return query(c, "select id, name from " + table + " where id = 4000"); });
    say("fails", () -> query(c, "insert into " + table + " (id) values (?)", 4000));
    say("and then", () -> query(c, "select count(*) from " + table + " where id = 4000"));
    say("commit", () -> { c.commit(); return "done"; });
    c.rollback();
    c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    c.setReadOnly(true);
    say("read only", () -> query(c, "update " + table + " set name = 'x' where id = 1"));
    c.rollback();
    c.setReadOnly(false);
    c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
    c.setAutoCommit(true);
    say("of it", () -> query(c, "select id, name from " + table + " where id >= 4000"));
  }

  private static void cursors(Connection c, String table) throws SQLException {
    c.setAutoCommit(false);
    say("fetched in parts", () -> {
      try (PreparedStatement s = c.prepareStatement("select id from " + table + " where id between ? and ? order by id")) {
        s.setFetchSize(37);
        s.setInt(1, 1000);
        s.setInt(2, 1300);
        ResultSet found = s.executeQuery();
        int n = 0, sum = 0;
        while (found.next()) {
          n++;
          sum += found.getInt(1);
          if (n == 50) query(c, "update " + table + " set name = 'meanwhile' where id = ?", 1100);
        }
        return n + " " + sum;
      }
    });
    say("limited", () -> {
      try (PreparedStatement s = c.prepareStatement("select id from " + table + " where id > ? order by id")) {
        s.setMaxRows(3);
        s.setInt(1, 1100);
        return rows(s.executeQuery());
      }
    });
    say("returned in parts", () -> {
      try (PreparedStatement s = c.prepareStatement("update " + table + " set name = 'parts' where id between ? and ? returning id")) {
        s.setFetchSize(3);
        s.setInt(1, 1030);
        s.setInt(2, 1039);
        return rows(s.executeQuery());
      }
    });
    c.commit();
    c.setAutoCommit(true);
    say("updatable", () -> {
      try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
        ResultSet found = s.executeQuery("select id, name from " + table + " where id between 1050 and 1054 order by id");
        for (int i = 0; i < 2; i++) {
          found.next();
          found.updateString("name", "by the result set " + i);
          found.updateRow();
        }
        found.next();
        found.deleteRow();
        found.moveToInsertRow();
        found.updateInt("id", 5000);
        found.updateString("name", "inserted");
        found.insertRow();
        found.absolute(1);
        found.refreshRow();
        return found.getString("name") + " " + query(c, "select id, name from " + table + " where id between 1050 and 1054 or id = 5000 order by id");
      }
    });
  }

  private static void metadata() throws SQLException {
    try (Connection c = connect()) {
      query(c, "create table parent (id serial primary key, code varchar(10) unique not null, price numeric(10,2) default 1.5)");
      query(c, "create table child (id bigint generated always as identity primary key, parent_id int references parent on delete cascade)");
      query(c, "create view seen as select p.code from parent p");
      query(c, "comment on table parent is 'said of it'");
      query(c, "create function twice(n int) returns int language sql immutable as 'select n * 2'");
      java.sql.DatabaseMetaData m = c.getMetaData();
      say("product", () -> m.getDatabaseProductName() + " " + m.getDatabaseProductVersion() + " " + m.getMaxConnections() + " " + m.getUserName() + " " + m.getMaxColumnNameLength());
      say("tables", () -> rows(m.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})));
      say("columns", () -> rows(m.getColumns(null, "public", "%", "%")));
      say("primary keys", () -> rows(m.getPrimaryKeys(null, "public", "parent")));
      say("imported keys", () -> rows(m.getImportedKeys(null, "public", "child")));
      say("exported keys", () -> rows(m.getExportedKeys(null, "public", "parent")));
      say("indexes", () -> rows(m.getIndexInfo(null, "public", "parent", false, true)));
      say("best row", () -> rows(m.getBestRowIdentifier(null, "public", "parent", 0, true)));
      say("schemas", () -> rows(m.getSchemas()));
      say("catalogs", () -> rows(m.getCatalogs()));
      say("table types", () -> rows(m.getTableTypes()));
      say("types", () -> rows(m.getTypeInfo()).length());
      say("functions", () -> rows(m.getFunctions(null, "public", "%")));
      say("function columns", () -> rows(m.getFunctionColumns(null, "public", "%", "%")));
      say("procedures", () -> rows(m.getProcedures(null, "public", "%")));
      say("privileges", () -> rows(m.getTablePrivileges(null, "public", "%")));
      say("column privileges", () -> rows(m.getColumnPrivileges(null, "public", "parent", "%")));
      say("version columns", () -> rows(m.getVersionColumns(null, "public", "parent")));
      say("client info", () -> rows(m.getClientInfoProperties()));
      say("keywords", () -> m.getSQLKeywords().length());
      say("user types", () -> rows(m.getUDTs(null, "public", "%", null)));
      say("call", () -> {
        try (java.sql.CallableStatement s = c.prepareCall("{? = call twice(?)}")) {
          s.registerOutParameter(1, java.sql.Types.INTEGER);
          s.setInt(2, 21);
          s.execute();
          return s.getInt(1);
        }
      });
      say("parameters", () -> {
        try (PreparedStatement s = c.prepareStatement("update parent set price = ? where code = ?")) {
          return s.getParameterMetaData().getParameterCount() + s.getParameterMetaData().getParameterTypeName(1);
        }
      });
      say("array", () -> query(c, "select ?::int[], ?::text", c.createArrayOf("int4", new Integer[] {1, null, 3}), "x"));
      say("schema", () -> { c.setSchema("pg_catalog"); return c.getSchema() + c.getCatalog() + c.isValid(5); });
      c.setClientInfo("ApplicationName", "änother name");
      say("application", () -> c.getClientInfo("ApplicationName") + query(c, "show application_name"));
    }
  }

  private static void copies() throws SQLException {
    try (Connection c = connect()) {
      query(c, "create table copied (id int, note text)");
      org.postgresql.copy.CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
      StringBuilder lines = new StringBuilder();
      for (int i = 0; i < 5000; i++) lines.append(i).append("\tnöte ").append(i).append('\n');
      say("copy in", () -> copy.copyIn("copy copied from stdin", new StringReader(lines.toString())));
      say("copy fails", () -> copy.copyIn("copy copied from stdin", new StringReader("1\tone\ntwo\ttwo\n")));
      say("copy out", () -> {
        StringWriter out = new StringWriter();
        long n = copy.copyOut("copy (select * from copied where id < 3 order by id) to stdout with csv header", out);
        return n + out.toString();
      });
      say("copy out of nothing", () -> copy.copyOut("copy nowhere to stdout", new StringWriter()));
      say("given up", () -> {
        org.postgresql.copy.CopyIn in = copy.copyIn("copy copied from stdin");
        byte[] bytes = "7\tseven\n".getBytes();
        in.writeToCopy(bytes, 0, bytes.length);
        in.cancelCopy();
        return in.isActive();
      });
      say("rows", () -> query(c, "select count(*) from copied"));
    }
  }

  private static final class Id implements Xid {
    private final byte[] branch;

    Id(String branch) {
      this.branch = branch.getBytes();
    }

    public int getFormatId() {
      return 7;
    }

    public byte[] getGlobalTransactionId() {
      return "global".getBytes();
    }

    public byte[] getBranchQualifier() {
      return branch;
    }
  }

  private static void twoPhases() throws Exception {
    PGXADataSource source = new PGXADataSource();
    source.setUrl(url);
    source.setUser("postgres");
    XAConnection both = source.getXAConnection();
    try (Connection c = both.getConnection()) {
      query(c, "create table prepared (id int primary key, name text)");
      query(c, "insert into prepared values (1, 'one')");
      XAResource resource = both.getXAResource();
      Id first = new Id("first"), second = new Id("second");
      resource.start(first, XAResource.TMNOFLAGS);
      say("within", () -> query(c, "insert into prepared values (2)"));
      resource.end(first, XAResource.TMSUCCESS);
      say("prepare", () -> resource.prepare(first));
      say("in doubt", () -> resource.recover(XAResource.TMSTARTRSCAN | XAResource.TMENDRSCAN).length);
      say("commit", () -> { resource.commit(first, false); return "done"; });
      if (cautious) return;
      resource.start(second, XAResource.TMNOFLAGS);
      say("within", () -> query(c, "insert into prepared values (3)"));
      resource.end(second, XAResource.TMSUCCESS);
      say("prepare", () -> resource.prepare(second));
      say("rollback", () -> { resource.rollback(second); return "done"; });
      say("left", () -> query(c, "select * from prepared order by id"));
    }
    both.close();
  }

  private static void cancelling() throws SQLException {
    for (String mode : new String[] {"simple", "extended"}) {
      try (Connection c = connect("preferQueryMode", mode)) {
        say("timeout", () -> {
          try (Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            s.execute("select pg_sleep(30)");
            return "slept";
          }
        });
        say("cancel", () -> {
          try (Statement s = c.createStatement()) {
            new Timer(true).schedule(new TimerTask() {
              public void run() {
                try {
                  s.cancel();
                } catch (SQLException error) {
                  System.out.println(said(error));
                }
              }
            }, 200);
            s.execute("select pg_sleep(30)");
            return "slept";
          }
        });
        say("alive", () -> query(c, "select 'yes'"));
      }
    }
  }

  private static void notifications() throws SQLException {
    try (Connection c = connect(); Connection other = connect()) {
      query(c, "listen news");
      query(other, "select pg_notify('news', ?)", "first ✓");
      query(other, "notify news, 'second'");
      for (int heard = 0; heard < 2; ) {
        for (PGNotification note : c.unwrap(PGConnection.class).getNotifications(5000)) {
          System.out.println("heard " + note.getName() + " " + note.getParameter());
          heard++;
        }
      }
    }
  }

  private static void atTheStart() {
    String[][] all = {
      {"options", "-c work_mem=5MB -c extra_float_digits=1 -c DateStyle=German"}, {"ApplicationName", "ä client"},
      {"currentSchema", "pg_catalog,public"}, {"readOnly", "true"}, {"assumeMinServerVersion", "15"}, {"stringtype", "unspecified"},
      {"binaryTransferEnable", "numeric,text"}, {"quoteReturningIdentifiers", "false"}, {"defaultRowFetchSize", "2"},
      {"options", "-c wrk_mem=1"}, {"cleanupSavepoints", "true", "autosave", "always"},
    };
    for (String[] settings : all) {
      say("with " + String.join(" ", settings), () -> {
        try (Connection c = connect(settings)) {
          c.setAutoCommit(false);
          String out = query(c, "select current_setting('work_mem'), current_setting('extra_float_digits'), timestamptz '2024-02-29 12:00Z'::text, current_setting('search_path'), 1/3.0::float8 from generate_series(1, 5)")
              + new TreeMap<>(c.unwrap(PGConnection.class).getParameterStatuses());
          c.commit();
          return out;
        }
      });
    }
    say("nowhere", () -> DriverManager.getConnection(url.replaceAll("/[a-z]+$", "/nowhere"), "postgres", ""));
  }

  public static void main(String[] args) throws Exception {
    url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/" + args[1];
    String how = args.length > 2 ? args[2] : "";
    cautious = how.equals("cautious");
    System.setOut(new java.io.PrintStream(System.out, true, "UTF-8"));
    java.util.TimeZone.setDefault(java.util.TimeZone.getTimeZone("UTC"));
    if (how.equals("answers")) {
      int from = 200;
      for (String settings : new String[] {"", "?preferQueryMode=simple", "?autosave=always"}) {
        Answers.run(url, from += 10, settings);
      }
      return;
    }
    int n = 0;
    // With the default policy each UPDATE and DELETE waits for a disk: a few of the modes, then.
    String[][] some = {{}, {"preferQueryMode", "simple"}, {"autosave", "always", "prepareThreshold", "1", "reWriteBatchedInserts", "true"}};
    String[][] all = {
      {}, {"preferQueryMode", "simple"}, {"preferQueryMode", "extendedForPrepared"}, {"preferQueryMode", "extendedCacheEverything"},
      {"prepareThreshold", "1"}, {"prepareThreshold", "0"}, {"prepareThreshold", "-1", "binaryTransfer", "true"},
      {"autosave", "always"}, {"autosave", "conservative", "prepareThreshold", "1"}, {"reWriteBatchedInserts", "true"},
      {"autosave", "always", "preferQueryMode", "simple"}, {"prepareThreshold", "1", "preparedStatementCacheQueries", "2"},
    };
    for (String[] settings : cautious ? some : all) statements("t" + n++, settings);
    metadata();
    copies();
    twoPhases();
    cancelling();
    notifications();
    atTheStart();
  }
}
