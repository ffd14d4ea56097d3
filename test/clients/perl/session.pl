# Perl's DBD::Pg: server-side prepared statements, COPY, savepoints, asynchronous queries and notifications.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types :async);

binmode STDOUT, ':utf8';
$| = 1;
my ($port, $database, $cautious) = @ARGV;

sub connection {
    my (%attributes) = @_;
    return DBI->connect("dbi:Pg:host=127.0.0.1;port=$port;dbname=$database;sslmode=disable", 'postgres', '',
        { RaiseError => 0, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => 1, %attributes });
}

sub told {
    my $h = shift;
    return 'fine' unless $h->err;
    my $db = $h->isa('DBI::st') ? $h->{Database} : $h;
    my @fields = map { $db->pg_error_field($_) // '' }
        qw(severity state primary detail hint position internal_position context schema table column datatype constraint file line routine);
    return join '|', $h->state, @fields;
}

sub say_rows {
    my ($what, $sth) = @_;
    print "$what: ", join(' / ', map { join ',', map { $_ // 'null' } @$_ } @{ $sth->fetchall_arrayref }), ' ', $sth->rows, ' ', told($sth), "\n";
}

my $dbh = connection();
$SIG{__WARN__} = sub { print 'warning: ', @_ };
print 'create: ', $dbh->do("create table t (id int primary key, name text check (name <> 'no'))"), "\n";
my $insert = $dbh->prepare('insert into t values (?, ?)');
my $update = $dbh->prepare('update t set name = ? where id = ? returning id, name');
my $delete = $dbh->prepare('delete from t where id = $1');
for my $id (1 .. 12) {
    print 'insert: ', $insert->execute($id, "näme $id"), "\n";
    $update->execute("changed $id", $id);
    say_rows('update', $update);
    print 'delete: ', $delete->execute($id + 6), "\n";
}
for my $wrong ("insert into t values (1, 'again')", "insert into t values (99, 'no')", $cautious ? 'select' : 'selec 1',
    'select nothing from t', 'select 1/0', q(update t set nam = 'x' where id = 1), q(select 'a'::int)) {
    $dbh->do($wrong);
    print 'failed: ', told($dbh), "\n";
}
my $select = $dbh->prepare('select * from t where id = ?');
for (1 .. 2) { $select->execute(1); say_rows('before', $select); }
$dbh->do('alter table t add column extra int default 5');
for (1 .. 2) { $select->execute(1); say_rows('after', $select); }
$dbh->{pg_server_prepare} = 0;
my $plain = $dbh->prepare('update t set name = ? where id = ?');
print 'not prepared: ', $plain->execute("it's", $_), "\n" for 1 .. 2;
$dbh->{pg_server_prepare} = 1;
my $tuples = $dbh->prepare('insert into t (id, name) values (?, ?)');
my @status;
print 'array: ', $tuples->execute_array({ ArrayTupleStatus => \@status }, [100 .. 104], [map { "n$_" } 100 .. 104]) // 'failed', " @status\n";

$dbh->begin_work;
print 'within: ', $dbh->do("insert into t values (200, 'outer')"), "\n";
$dbh->pg_savepoint('s');
print 'inner: ', $dbh->do("update t set name = 'inner' where id = 200"), "\n";
$dbh->do("insert into t values (200, 'again')");
print 'again: ', told($dbh), ' ', $dbh->ping, "\n";
$dbh->do('select 1');
print 'aborted: ', told($dbh), "\n";
$dbh->pg_rollback_to('s');
print 'status: ', $dbh->ping, "\n";
$dbh->commit;
print 'kept: ', join(',', $dbh->selectrow_array('select id, name from t where id = 200')), ' ', $dbh->ping, "\n";
print 'several: ', $dbh->do("insert into t values (300, 'a'); update t set name = 'b' where id = 300; delete from t where id = 300") // told($dbh), "\n";
print 'several that fail: ', $dbh->do('insert into t values (301); select 1/0; delete from t where id = 301') // told($dbh), "\n";

$dbh->do('create table copied (id int, note text)');
$dbh->do('copy copied from stdin');
$dbh->pg_putcopydata("$_\tnöte $_\n") for 0 .. 2999;
print 'copied: ', $dbh->pg_putcopyend, "\n";
$dbh->do('copy copied from stdin');
$dbh->pg_putcopydata("1\tone\ntwo\ttwo\n");
print 'copy fails: ', $dbh->pg_putcopyend // 'undef', ' ', told($dbh), "\n";
$dbh->do('copy (select * from copied where id < 3 order by id) to stdout');
my $line;
while ($dbh->pg_getcopydata($line) >= 0) { print "copied out: $line"; }

my $news = connection();
$news->do('listen news');
$dbh->do(q(select pg_notify('news', 'first')));
$dbh->do(q(notify news, 'second'));
for (my $heard = 0; $heard < 2; select undef, undef, undef, 0.01) {
    while (my $note = $news->pg_notifies) { print "heard: $note->[0] $note->[2]\n"; $heard++; }
}
$dbh->do('select pg_sleep(30)', { pg_async => PG_ASYNC });
select undef, undef, undef, 0.15;
print 'cancelled: ', $dbh->pg_cancel ? 'yes' : 'no', "\n";
print 'alive: ', join(',', $dbh->selectrow_array(q(select 'yes'))), "\n";
print 'tables: ', join(' ', $dbh->tables('', 'public', '%', 'TABLE')), "\n";
print 'primary key: ', join(' ', $dbh->primary_key('', 'public', 't')), "\n";
say_rows('columns', $dbh->column_info('', 'public', 't', '%'));
say_rows('foreign keys', $dbh->foreign_key_info(undef, 'public', 't', undef, undef, undef) // $dbh->prepare('select'));
$dbh->{pg_server_prepare} = 0;
say_rows('by the server', do { my $s = $dbh->prepare('select current_setting(?), ?::date'); $s->execute('DateStyle', '2024-02-29'); $s });
for my $all ('reset all', 'discard all') { print "$all: ", $dbh->do($all) // told($dbh), "\n"; }
print 'after all: ', join(',', $dbh->selectrow_array('select count(*) from t where id < ?', {}, 7)), "\n";
print join(' ', map { "$_=" . ($dbh->{"pg_$_"} // '') } qw(server_version protocol db user)), "\n";
