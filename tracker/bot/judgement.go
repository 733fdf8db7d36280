package bot

// The verdicts.
const (
	Person       = "person"
	Machine      = "machine"
	Unverifiable = "unverifiable"
)

// What a request was for, as Judge takes it.
const (
	Open  = "open"
	Click = "click"
)

// Judgement is what is known of a request.
type Judgement struct {
	Verdict string // Person, Machine or Unverifiable
	Reason  string // why; at most 64 bytes of plain text

	NoRegion bool // the address is not the reader's: it must not be looked up
	Private  bool // the reader asks not to be followed (DNT or GPC)

	Client string // family, such as Outlook or Firefox; empty: not known
	OS     string // family, such as Windows or iOS
	Device string // Desktop, Mobile or Tablet
}

// The classes of device.
const (
	Desktop = "desktop"
	Mobile  = "mobile"
	Tablet  = "tablet"
)
