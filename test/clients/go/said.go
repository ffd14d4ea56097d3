package main

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func value[T any](v T, err error) T {
	must(err)
	return v
}

// said gives every field of an error that does not hang on who asked, or when.
func said(err error) string {
	var e *pgconn.PgError
	if err == nil {
		return "no error"
	}
	if !errors.As(err, &e) {
		return "not of the server: " + err.Error()
	}
	return fmt.Sprintf("%s %s %q detail=%q hint=%q at=%d inner=%d %q where=%q %s.%s.%s %s %s %s:%d %s",
		e.Severity, e.Code, e.Message, e.Detail, e.Hint, e.Position, e.InternalPosition, e.InternalQuery, e.Where,
		e.SchemaName, e.TableName, e.ColumnName, e.DataTypeName, e.ConstraintName, e.File, e.Line, e.Routine)
}
