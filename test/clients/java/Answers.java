import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;

/** What PostgreSQL's JDBC driver makes of a gateway that blocks, holds and gives tickets, in the midst of whatever it does. */
public final class Answers {
  private interface Work {
    Object run() throws SQLException;
  }

  private static String attempt(Work work) {
    try {
      return String.valueOf(work.run());
    } catch (SQLException error) {
      return said(error);
    }
  }

  private static String said(SQLException error) {
    String counts = "";
    if (error instanceof BatchUpdateException) {
      counts = Arrays.toString(((BatchUpdateException) error).getUpdateCounts()) + " ";
      if (error.getNextException() != null) error = error.getNextException();
    }
    return counts + error.getSQLState() + " " + error.getMessage().split("\n")[0];
  }

  /** What a program does that is given a ticket: it comes again. */
  private static String insisting(Work work) {
    for (int tries = 1; ; tries++) {
      String said = attempt(work);
      if (tries == 200 || !said.contains("HF001")) return said + (tries > 1 ? ", again" : "");
      try {
        Thread.sleep(100);
      } catch (InterruptedException interrupted) {
        throw new IllegalStateException(interrupted);
      }
    }
  }

  private static int count(Connection c, String sql, int id) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      s.setInt(1, id);
      return s.executeUpdate();
    }
  }

  private static String ids(Connection c, String table, int from) throws SQLException {
    try (Statement s = c.createStatement();
        ResultSet found = s.executeQuery("select id from " + table + " where id between " + from + " and " + (from + 9) + " order by id")) {
      StringBuilder out = new StringBuilder(table);
      while (found.next()) out.append(' ').append(found.getInt(1));
      return out.toString();
    }
  }

  private static String changed(Connection c, int from) throws SQLException {
    try (Statement s = c.createStatement();
        ResultSet found = s.executeQuery("select count(name) from ticketed where id between " + from + " and " + (from + 9))) {
      found.next();
      return "ticketed " + found.getInt(1);
    }
  }

  static void run(String url, int from, String settings) throws SQLException {
    System.out.println("--- " + settings);
    try (Connection c = DriverManager.getConnection(url + settings, "postgres", "")) {
      try (PreparedStatement s = c.prepareStatement("delete from precious where id = ?")) {
        for (int i = 0; i < 7; i++) {
          s.setInt(1, i);
          System.out.println("blocked " + attempt(s::executeUpdate));
        }
      }
      c.setAutoCommit(false);
      System.out.println("within " + attempt(() -> count(c, "insert into precious values (?)", from)));
      Savepoint savepoint = c.setSavepoint();
      System.out.println("blocked " + attempt(() -> count(c, "delete from precious where id = ?", 1)));
      // With autosave the driver has gone back by itself, and the transaction goes on.
      System.out.println("and then " + attempt(() -> count(c, "insert into precious values (?)", from + 1)));
      c.rollback(savepoint);
      c.commit();
      c.setAutoCommit(true);
      System.out.println("batch " + attempt(() -> {
        try (Statement s = c.createStatement()) {
          s.addBatch("insert into precious values (" + (from + 2) + ")");
          s.addBatch("delete from precious where id = 1");
          s.addBatch("insert into precious values (" + (from + 3) + ")");
          return Arrays.toString(s.executeBatch());
        }
      }));
      System.out.println("held " + attempt(() -> {
        try (PreparedStatement s = c.prepareStatement("delete from awaited where id = ?")) {
          s.setInt(1, from);
          int n = s.executeUpdate();
          SQLWarning told = s.getWarnings();
          return n + " " + told.getSQLState() + " " + told.getMessage();
        }
      }));
      System.out.println("held in a batch " + attempt(() -> {
        try (PreparedStatement s = c.prepareStatement("delete from awaited where id = ?")) {
          for (int id : new int[] {from + 1, from + 2}) {
            s.setInt(1, id);
            s.addBatch();
          }
          return Arrays.toString(s.executeBatch());
        }
      }));
      System.out.println("ticketed " + insisting(() -> count(c, "update ticketed set name = 'by ticket' where id = ?", from)));
      c.setAutoCommit(false);
      System.out.println("ticketed within " + insisting(() -> {
        try {
          int n = count(c, "update ticketed set name = 'in a transaction' where id = ?", from + 1);
          c.commit();
          return n;
        } finally {
          c.rollback();
        }
      }));
      c.setAutoCommit(true);
      // The statement that is given up has to be one that nobody approves.
      System.out.println("given up " + attempt(() -> {
        try (Statement s = c.createStatement()) {
          s.setQueryTimeout(1);
          return s.executeUpdate("delete from awaited where id = -1 and id = " + from);
        }
      }));
      System.out.println(ids(c, "precious", from) + ", " + ids(c, "awaited", from) + ", " + changed(c, from));
    }
  }
}
