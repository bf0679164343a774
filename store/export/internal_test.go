package export

// The form of values, for tests.
var (
	AppendJSON = appendJSON
	AppendTime = appendTime
	AppendXML  = appendXML
)

// WithSheetRows are options that make the sheets of a workbook shorter.
func WithSheetRows(o Options, n int) Options {
	o.sheetRows = n
	return o
}
