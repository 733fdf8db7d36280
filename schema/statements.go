package schema

import (
	"context"
	"sync"

	"github.com/jmoiron/sqlx"
)

const (
	mostKept    = 256     // statements
	longestKept = 8 << 10 // bytes of a statement's text
)

// statements keeps what SQLite compiled for its one writing connection: a statement that asks the gate
// about a few people takes longer to compile than to run. PostgreSQL's driver does that by itself.
type statements struct {
	db *sqlx.DB

	mu     sync.Mutex
	kept   map[string]*kept
	once   map[string]bool // were used, and will be kept if they are used again
	wanted []string        // are to be compiled when the connection is free
	clock  int64
}

type kept struct {
	*sqlx.Stmt
	used int64
}

func newStatements(db *sqlx.DB) *statements {
	return &statements{db: db, kept: map[string]*kept{}, once: map[string]bool{}}
}

// find returns the compiled statement, or nil.
func (s *statements) find(query string) *sqlx.Stmt {
	if s == nil || len(query) > longestKept {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	if k := s.kept[query]; k != nil {
		k.used = s.clock
		return k.Stmt
	}
	if s.once[query] {
		s.wanted = append(s.wanted, query)
	}
	if len(s.once) >= mostKept {
		clear(s.once)
	}
	s.once[query] = true
	return nil
}

// compile makes what is wanted. It takes the connection, so no transaction of the caller's may be open.
func (s *statements) compile(ctx context.Context) {
	if s == nil {
		return
	}
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = nil
	s.mu.Unlock()
	for _, query := range wanted {
		st, err := s.db.PreparexContext(ctx, query) // without the lock: whoever has the connection may want that
		if err != nil {
			continue // whoever uses it will be told
		}
		s.mu.Lock()
		if s.kept[query] != nil {
			_ = st.Close()
		} else {
			s.clock++
			s.kept[query] = &kept{st, s.clock}
		}
		s.mu.Unlock()
	}
}

// shrink forgets what was not used for longest. Nobody else may be using the connection.
func (s *statements) shrink() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.kept) > mostKept {
		oldest := ""
		for query, k := range s.kept {
			if oldest == "" || k.used < s.kept[oldest].used {
				oldest = query
			}
		}
		_ = s.kept[oldest].Close()
		delete(s.kept, oldest)
	}
}
