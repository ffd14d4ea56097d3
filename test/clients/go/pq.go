package main

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
)

func saidByPq(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%s %s %q %q %q %s %s %s %s", e.Severity, e.Code, e.Message, e.Detail, e.Hint, e.Position, e.Where, e.Table, e.Constraint)
	}
	return fmt.Sprint(err)
}

// throughDatabaseSQL is lib/pq under Go's own database/sql, with its pool.
func throughDatabaseSQL(url string) {
	db := value(sql.Open("postgres", url))
	defer db.Close()
	done := func(what string, result sql.Result, err error) {
		if err != nil {
			fmt.Println("pq", what, saidByPq(err))
			return
		}
		n, _ := result.RowsAffected()
		fmt.Println("pq", what, n)
	}
	result, err := db.Exec("create table counted (id serial primary key, name text unique)")
	done("create", result, err)
	for i := 0; i < 3; i++ {
		var id int
		must(db.QueryRow("insert into counted (name) values ($1) returning id", fmt.Sprint("n", i)).Scan(&id))
		fmt.Println("pq id", id)
	}
	result, err = db.Exec("insert into counted (name) values ($1)", "n1")
	done("again", result, err)
	update := value(db.Prepare("update counted set name = $2 where id = $1"))
	for i := 1; i <= 7; i++ {
		result, err = update.Exec(i, fmt.Sprint("changed ", i))
		done("update", result, err)
	}
	must(update.Close())
	tx := value(db.Begin())
	copying := value(tx.Prepare(pq.CopyIn("counted", "name")))
	for i := 0; i < 100; i++ {
		value(copying.Exec(fmt.Sprint("copied ", i)))
	}
	result, err = copying.Exec()
	done("copy", result, err)
	must(copying.Close())
	result, err = tx.Exec("delete from counted where name = $1", "copied 5")
	done("delete", result, err)
	must(tx.Commit())
	tx = value(db.Begin())
	result, err = tx.Exec("select 1/0")
	done("failed", result, err)
	result, err = tx.Exec("select 1")
	done("aborted", result, err)
	fmt.Println("pq commit", saidByPq(tx.Commit()))
	var n int
	must(db.QueryRow("select count(*) from counted").Scan(&n))
	fmt.Println("pq count", n)
	listener := pq.NewListener(url, time.Second, time.Minute, nil)
	must(listener.Listen("pq_news"))
	done("notify", value(db.Exec("select pg_notify('pq_news', 'heard')")), nil)
	fmt.Println("pq", (<-listener.Notify).Extra, listener.Ping())
	must(listener.Close())
}
