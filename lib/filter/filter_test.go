package filter

import (
	"database/sql"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	_ "modernc.org/sqlite"
)

// testColumns is an allow-list with every kind of column.
func testColumns() Columns {
	return Columns{
		"uid":        {SQL: "uid", Kind: UID},
		"label_uid":  {SQL: "label_uid", Kind: UID},
		"name":       {SQL: "name"},
		"version":    {SQL: "version"},
		"when":       {SQL: `"when"`},
		"metadata":   {SQL: "metadata"},
		"created_at": {SQL: "created_at", Kind: Time},
		"updated_at": {SQL: "updated_at", Kind: Time},
		"hash":       {SQL: "hash", Hidden: true},
	}.WithTable("labels")
}

const (
	uidA = "0a1b2c3d-0000-4000-8000-00000000000a"
	uidB = "0a1b2c3d-0000-4000-8000-00000000000b"
	uidC = "ffffffff-0000-4000-8000-00000000000c"
)

// openRows makes a database of three rows named a, b and c.
func openRows(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.Exec(`CREATE TABLE labels (uid BLOB PRIMARY KEY, label_uid BLOB, name TEXT, version INTEGER,
		"when" TEXT, metadata TEXT, created_at INTEGER, updated_at INTEGER, hash TEXT)`)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		uid, label, name string
		version          int
		when             any
		metadata         string
		created          string
	}{
		{uidA, uidA, "a", 1, "ALLOCATED", `{"k":"it's"}`, "2026-11-20T10:00:00Z"},
		{uidB, uidA, "b", 2, "DEALLOCATE", `{"k":"50%"}`, "2026-11-21T23:24:52.935066403Z"},
		{uidC, uidB, "c", -3, nil, `{}`, "2026-11-22T00:00:00.5Z"},
	}
	for _, r := range rows {
		u, l := uuid.MustParse(r.uid), uuid.MustParse(r.label)
		at, err := time.Parse(time.RFC3339, r.created)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`INSERT INTO labels VALUES (?,?,?,?,?,?,?,?,'secret')`, u[:], l[:], r.name, r.version,
			r.when, r.metadata, at.UnixNano(), at.UnixNano()); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// selectNames runs the filter and returns the matching names in one string.
func selectNames(db *sql.DB, text string) (string, error) {
	expr, err := Parse(text)
	if err != nil {
		return "", err
	}
	cond, args, err := expr.SQL(testColumns())
	if err != nil {
		return "", err
	}
	rows, err := db.Query("SELECT name FROM labels WHERE "+cond+" ORDER BY name", args...)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	var got strings.Builder
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return "", err
		}
		got.WriteString(name)
	}
	return got.String(), rows.Err()
}

func TestRows(t *testing.T) {
	db := openRows(t)
	tests := []struct{ name, filter, want string }{
		{"equal", `name='a'`, "a"},
		{"jenkins", `name='b' AND version=2`, "b"},
		{"jenkins other version", `name='b' AND version=3`, ""},
		{"double-quoted literal", `name="b"`, "b"},
		{"double-quoted column", `"name"='b'`, "b"},
		{"bare unknown is a literal", `name=b`, "b"},
		{"unknown column matches nothing", `nosuch='b'`, ""},
		{"internal column is no column", `epoch=0`, ""},
		{"case of names", `NaMe='a' and VERSION=1`, "a"},
		{"qualified", `labels.name='a' OR "Labels"."version"=2`, "ab"},
		{"doubled quote", `metadata LIKE '%it''s%'`, "a"},
		{"doubled double quote", `name != "x""y"`, "abc"},
		{"not equal", `name!='a'`, "bc"},
		{"less", `version<1`, "c"}, {"less or equal", `version <= 1`, "ac"},
		{"greater", `version>1`, "b"}, {"greater or equal", `version>=1`, "ab"},
		{"precedence", `name='a' OR name='b' AND version=5`, "a"},
		{"parentheses", `(name='a' OR name='b') AND version=2`, "b"},
		{"in", `name IN ('a','c')`, "ac"}, {"not in", `name NOT IN ('a', 'c')`, "b"},
		{"like", `name LIKE 'A'`, "a"}, {"not like", `name NOT LIKE 'a%'`, "bc"},
		{"like escape", `metadata LIKE '%\%%' ESCAPE '\'`, "b"},
		{"glob", `name GLOB '[ab]'`, "ab"}, {"not glob", `name NOT GLOB 'A'`, "abc"},
		{"between", `version BETWEEN 1 AND 2 AND name='b'`, "b"},
		{"not between", `version NOT BETWEEN 1 AND 2`, "c"},
		{"null", `"when" IS NULL`, "c"}, {"not null", `"when" IS NOT NULL`, "ab"},
		{"is value", `"when" IS NOT 'ALLOCATED'`, "bc"},
		{"concat", `name || '-' || version = 'a-1'`, "a"},
		{"arithmetic", `version * 2 + 1 = 5 OR 7 % 4 = version`, "b"},
		{"divide", `version / 2 = 1 AND version - 1 = 1`, "b"},
		{"divide by zero", `version / 0 = 1`, ""},
		{"unary minus", `version = -3 OR -version = - -1 * -1`, "ac"},
		{"true", `TRUE`, "abc"}, {"false", `false`, ""}, {"and true", `name='a' AND TRUE`, "a"},
		{"number alone", `1`, "abc"}, {"string alone", `'abc'`, ""}, {"column alone", `version`, "abc"},
		{"float", `version < 1.5e0 AND version > .5`, "a"},
		{"integer past 64 bits", `version < 99999999999999999999`, "abc"},
		{"integer column and text", `version='2'`, "b"},
		{"json text", `metadata='{}'`, "c"},

		{"uid", `uid='` + uidB + `'`, "b"},
		{"uid upper case, double-quoted", `UID="` + strings.ToUpper(uidB) + `"`, "b"},
		{"uid not equal", `uid != '` + uidB + `'`, "ac"},
		{"uid reversed", `'` + uidA + `' = uid`, "a"},
		{"uid like", `uid LIKE '0a1b2c3d-%'`, "ab"},
		{"uid glob", `uid GLOB '*c'`, "c"},
		{"uid in", `uid IN ('` + uidA + `','` + uidC + `')`, "ac"},
		{"uid in with nonsense", `uid IN ('` + uidA + `','x',5)`, "a"},
		{"uid between", `uid BETWEEN '` + uidA + `' AND '` + uidB + `'`, "ab"},
		{"uid nonsense", `uid='x'`, ""}, {"uid not nonsense", `uid!='x'`, "abc"},
		{"uid and uid", `uid=label_uid`, "a"}, {"uid concat", `uid||'' = '` + uidA + `'`, "a"},
		{"uid prefix order", `uid > '1'`, "c"}, {"uid not null", `uid IS NOT NULL`, "abc"},

		{"time as stored", `created_at = '2026-11-21 23:24:52.935066403+00:00'`, "b"},
		{"time after", `created_at > '2026-11-21 23:24:52'`, "bc"},
		{"time rfc 3339", `created_at >= '2026-11-22T01:00:00.5+01:00'`, "c"},
		{"time of a day", `created_at < '2026-11-21'`, "a"},
		{"time between", `created_at BETWEEN '2026-11-21' AND "2026-11-21 23:59"`, "b"},
		{"time in", `created_at IN ('2026-11-20 10:00:00', 'x')`, "a"},
		{"time nonsense", `created_at < 'yesterday'`, ""},
		{"time other nonsense", `created_at != 'yesterday'`, ""},
		{"time far away", `created_at < '9999-01-01'`, ""},
		{"time like", `created_at LIKE '2026-11-2_ 23:24:52.935066403+00:00'`, "b"},
		{"time like with zeros", `created_at LIKE '%:00.500000000%'`, "c"},
		{"time and time", `created_at=updated_at`, "abc"},
		{"time and uid", `created_at=uid`, ""}, {"time and expression", `created_at > '2026' || '-11-22'`, "c"},

		{"dropped statement", `name='a'; DROP TABLE labels`, "a"},
		{"dropped order", `name!='x' ORDER BY hash`, "abc"},
		{"dropped comment", `name='a' -- or 1=1`, "a"},
		{"dropped collate", `name='a' COLLATE NOCASE`, "a"},
		{"dropped second", `name='a' name='b'`, "a"},
		{"dropped union", `name='a' UNION SELECT hash`, "a"},
		{"dropped quote after the end", `name='a';'`, "a"},
		{"missing parenthesis", `(name='a' OR (version=2`, "ab"},
		{"missing parenthesis, more", `(name='a' name='b') OR 1`, "a"},
		{"parenthesis too many", `name='a') OR 1`, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := selectNames(db, tt.filter)
			if err != nil || got != tt.want {
				t.Errorf("rows of %q = %q, %v, want %q", tt.filter, got, err, tt.want)
			}
		})
	}
}

func TestRejected(t *testing.T) {
	deep := strings.Repeat("(", MaxDepth+1) + "1" + strings.Repeat(")", MaxDepth+1)
	tests := []struct{ name, filter string }{
		{"empty", ""}, {"blank", " \t\n"}, {"comment only", "-- x"}, {"semicolon", ";"},
		{"drop", "DROP x"}, {"select", "SELECT * FROM users"}, {"bare when", "when='NEW'"},
		{"in select", "name IN (SELECT name FROM users)"}, {"in drop", "name IN (DROP label)"},
		{"in table", "name IN users"}, {"in nothing", "name IN ()"}, {"in open", "name IN ('a'"},
		{"subquery", "(SELECT 1)"}, {"exists", "EXISTS (SELECT 1)"}, {"not exists", "NOT EXISTS (SELECT 1)"},
		{"not", "NOT name"}, {"not group", "NOT (name='a')"}, {"inner not", "name='a' AND NOT name='b'"},
		{"double equal", "name=='a'"}, {"diamond", "name<>'a'"}, {"isnull", "name ISNULL"}, {"notnull", "name NOTNULL"},
		{"not null", "name NOT NULL"}, {"block comment", "name='a' /* x */"}, {"leading comment", "/* x */ name='a'"},
		{"backtick", "`name`='a'"}, {"bracket", "[name]='a'"}, {"open quote", "name='a"}, {"open identifier", `name="a`},
		{"open quote next", "name='a' 'b"}, {"function", "randomblob(1000000000)"}, {"function quoted", `"load_extension"('x')`},
		{"function inside", "name = hex(name)"}, {"function qualified", "main.hex(name)"}, {"case", "CASE WHEN 1 THEN 1 END"},
		{"cast", "CAST(name AS TEXT)='a'"}, {"regexp", "name REGEXP 'a'"}, {"match", "name MATCH 'a'"},
		{"bit and", "version & 1"}, {"bit or", "version | 1"}, {"shift", "version << 1"}, {"tilde", "~version"},
		{"json arrow", "metadata->>'k'"}, {"unary plus", "+version"}, {"hex number", "version=0x1"}, {"blob", "name=x'41'"},
		{"two dots", "version=1.2.3"}, {"half exponent", "version=1e"}, {"row value", "(name,version)=('a',1)"},
		{"three parts", "main.labels.name='a'"}, {"dot end", "labels."}, {"no right side", "name="}, {"no left side", "='a'"},
		{"dangling and", "name='a' AND"}, {"between without and", "version BETWEEN 1"}, {"in without list", "name IN"},
		{"escape of two", `name LIKE 'x' ESCAPE 'ab'`}, {"escape of none", `name LIKE 'x' ESCAPE ''`},
		{"escape dangling", `name LIKE 'x' ESCAPE`}, {"glob escape", `name GLOB 'x' ESCAPE 'a'`},
		{"pattern of a column", "name LIKE metadata"}, {"pattern of a column inside", "name LIKE '%'||metadata"},
		{"hidden", "hash LIKE 'a%'"}, {"hidden quoted", `"HASH"='a'`}, {"hidden qualified", "labels.hash='a'"},
		{"hidden deep", "name='a' OR name IN ('x', -hash)"}, {"not utf-8", "name='\xff'"}, {"zero byte", "\x00"},
		{"unicode", "naïve='a'"}, {"too long", "name='" + strings.Repeat("a", MaxLength) + "'"}, {"too deep", deep},
		{"too many signs", strings.Repeat("- ", MaxDepth+1) + "1"},
		{"too many nodes", strings.TrimSuffix(strings.Repeat("1 OR ", MaxNodes/2+1), "OR ")},
		{"too many concats", "name" + strings.Repeat("||name", MaxConcats+1)},
		{"too many patterns", "1" + strings.Repeat(" OR name LIKE 'a'", MaxPatterns+1)},
		{"too many wildcards", "name LIKE '" + strings.Repeat("%a", MaxWildcards+1) + "'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expr, err := Parse(tt.filter)
			if err == nil {
				_, _, err = expr.SQL(testColumns())
			}
			if !errors.Is(err, ErrRejected) {
				t.Errorf("filter %q: error %v, want ErrRejected", tt.filter, err)
			}
		})
	}
}

func TestUnresolved(t *testing.T) {
	for _, text := range []string{"labels.nosuch='a'", "users.name='a'", "name=?", "name = :x", "name=@x", "$x", "?1=1"} {
		expr, err := Parse(text)
		if err != nil {
			t.Fatalf("Parse(%q) = %v, want nil", text, err)
		}
		if _, _, err = expr.SQL(testColumns()); !errors.Is(err, ErrUnresolved) || errors.Is(err, ErrRejected) {
			t.Errorf("SQL of %q: error %v, want ErrUnresolved", text, err)
		}
	}
}

func TestZeroExprIsRejected(t *testing.T) {
	if _, _, err := (Expr{}).SQL(testColumns()); !errors.Is(err, ErrRejected) {
		t.Errorf("SQL of the zero Expr: error %v, want ErrRejected", err)
	}
}

// TestLimitsAreUsable runs filters right below the limits on the database.
func TestLimitsAreUsable(t *testing.T) {
	db := openRows(t)
	for _, text := range []string{
		strings.Repeat("(", MaxDepth-1) + "1" + strings.Repeat(")", MaxDepth-1),
		"1" + strings.Repeat(" AND 1", MaxNodes/2-1),
		"name IN (1" + strings.Repeat(",1", MaxNodes-10) + ") OR 1",
		"name LIKE '" + strings.Repeat("%a", MaxWildcards) + "' OR 1",
		"1 AND name" + strings.Repeat("||name", MaxConcats) + " != ''",
	} {
		if got, err := selectNames(db, text); err != nil || got != "abc" {
			t.Errorf("rows of %.40q... = %q, %v, want abc", text, got, err)
		}
	}
}

func TestSQLText(t *testing.T) {
	id := uuid.MustParse(uidA)
	tests := []struct {
		name, filter, want string
		args               []any
	}{
		{"values are bound", `name='x' AND version=3`, `(((name = ?) AND (version = ?)))`, []any{"x", int64(3)}},
		{"uid uses the index", `uid='` + uidA + `'`, `((uid = ?))`, []any{id[:]}},
		{"null", `"when" IS NULL`, `(("when" IS NULL))`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expr, err := Parse(tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			cond, args, err := expr.SQL(testColumns())
			if err != nil || cond != tt.want {
				t.Errorf("SQL(%q) = %q, %v, want %q", tt.filter, cond, err, tt.want)
			}
			if diff := cmp.Diff(tt.args, args); diff != "" {
				t.Errorf("args of %q (-want +got):\n%s", tt.filter, diff)
			}
		})
	}
}

// ownText matches the only text that SQL may produce over testColumns, after
// the readable forms of the two UID and two Time columns were cut out.
var ownText = regexp.MustCompile(`^(?:[ ()?,*/%<>=!+|-]|AND|OR|NOT|IS|IN|LIKE|GLOB|BETWEEN|ESCAPE|NULL|` +
	`uid|label_uid|name|version|"when"|metadata|created_at|updated_at)*$`)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`name='a' AND version=3`, `uid LIKE '0a%' ESCAPE '\'`, `created_at BETWEEN '2026-11-21' AND "x"`,
		`(name IN ('a',"b",-1.5e3) OR labels.name || 'x' GLOB '*') -- `, `name='a'; DROP TABLE labels`, `"when" IS NOT NULL`,
		`x'41' = 0x1`, `?1 = :a`, `NOT (1)`, `((((`, `a.b.c`, `'`, "`", `1.e-`, `hash=1`,
	} {
		f.Add(seed)
	}
	db := openRows(f)
	f.Fuzz(func(t *testing.T, text string) {
		expr, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrRejected) {
				t.Fatalf("Parse(%q) = %v, want ErrRejected", text, err)
			}
			return
		}
		cond, args, err := expr.SQL(testColumns())
		if err != nil {
			return
		}
		own := cond
		for _, c := range testColumns() {
			if c.Kind != Plain {
				own = strings.ReplaceAll(own, column{c}.readable(), "")
			}
		}
		if !ownText.MatchString(own) {
			t.Fatalf("SQL of %q holds foreign text: %s", text, own)
		}
		if n := strings.Count(own, "?"); n != len(args) {
			t.Fatalf("SQL of %q has %d holes for %d values", text, n, len(args))
		}
		var count int
		if err := db.QueryRow("SELECT count(*) FROM labels WHERE "+cond, args...).Scan(&count); err != nil {
			t.Fatalf("SQL of %q does not run: %v\n%s", text, err, cond)
		}
	})
}
