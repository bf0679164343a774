package export

import (
	"archive/zip"
	"compress/flate"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The bounds of a sheet. A text that is longer is cut; the other formats have all of it.
const (
	maxSheetRows = 1048576
	cellUnits    = 32767 // UTF-16
)

// The cell styles of styleSheet, by index.
const (
	styleHead = iota + 1
	styleTime
	styleThousandths
)

// xlsxTable writes a workbook (ECMA-376) as it goes: the sheets' rows are compressed into the zip as they come, what
// names the sheets is written last. Texts are inline strings, which no program takes for formulas; times are serial
// numbers in the zone, numbers are numbers. After the last row of a sheet comes a further one with the same head.
type xlsxTable struct {
	zone    *time.Location
	zip     *zip.Writer
	sheet   io.Writer // the open one
	sheets  int
	row     int // rows of the open sheet
	maxRows int
	letters [len(columns)]string
	b       []byte
	err     error // of what was written before the first row
}

func newXLSX(w io.Writer, zone *time.Location, rows int) *xlsxTable {
	x := &xlsxTable{zone: zone, zip: zip.NewWriter(w), maxRows: rows}
	if rows == 0 {
		x.maxRows = maxSheetRows
	}
	// The text is so repetitive that a better level costs much and wins little.
	x.zip.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	for i := range x.letters {
		if i >= 26 {
			x.letters[i] = string(rune('A'+i/26-1)) + string(rune('A'+i%26))
			continue
		}
		x.letters[i] = string(rune('A' + i))
	}
	x.err = x.part("[Content_Types].xml", contentTypes)
	return x
}

func (*xlsxTable) prepare(*job) {}

func (x *xlsxTable) write(j *job) error {
	if x.err != nil {
		return x.err
	}
	for i := range j.rows {
		if x.sheets == 0 || x.row == x.maxRows {
			if err := x.open(); err != nil {
				return err
			}
		}
		x.append(&j.rows[i])
	}
	return x.flush()
}

// open ends the open sheet and begins the next.
func (x *xlsxTable) open() error {
	if err := x.end(); err != nil {
		return err
	}
	x.sheets++
	var err error
	if x.sheet, err = x.zip.Create(fmt.Sprintf("xl/worksheets/sheet%d.xml", x.sheets)); err != nil {
		return err
	}
	x.row = 1
	x.b = append(x.b, sheetHead...)
	for i := range columns {
		x.text(i, styleHead, columns[i].Name)
	}
	x.b = append(x.b, "</row>"...)
	return nil
}

// end ends the open sheet, if there is one.
func (x *xlsxTable) end() error {
	if x.sheets == 0 {
		return nil
	}
	x.b = append(x.b, "</sheetData></worksheet>"...)
	return x.flush()
}

func (x *xlsxTable) flush() error {
	if len(x.b) == 0 {
		return nil
	}
	_, err := x.sheet.Write(x.b)
	x.b = x.b[:0]
	return err
}

func (x *xlsxTable) append(r *Row) {
	x.row++
	x.b = append(x.b, `<row r="`...)
	x.b = strconv.AppendInt(x.b, int64(x.row), 10)
	x.b = append(x.b, `">`...)
	for i := range columns {
		v := columns[i].of(r, x.zone)
		if v.null {
			continue
		}
		switch columns[i].Type {
		case typeText:
			x.text(i, 0, v.text)
		case typeList:
			x.text(i, 0, strings.Join(v.list, "; "))
		case typeInteger:
			x.cell(i, 0, "")
			x.b = strconv.AppendInt(x.b, v.n, 10)
			x.b = append(x.b, "</v></c>"...)
		case typeNumber:
			x.cell(i, styleThousandths, "")
			x.b = appendNumber(x.b, v.n)
			x.b = append(x.b, "</v></c>"...)
		case typeFlag:
			x.cell(i, 0, "b")
			x.b = strconv.AppendInt(x.b, v.n, 10)
			x.b = append(x.b, "</v></c>"...)
		case typeTime:
			x.cell(i, styleTime, "")
			x.b = strconv.AppendFloat(x.b, serial(v.at.In(x.zone)), 'f', -1, 64)
			x.b = append(x.b, "</v></c>"...)
		}
	}
	x.b = append(x.b, "</row>"...)
}

// cell opens a cell up to its value.
func (x *xlsxTable) cell(column, style int, typ string) {
	x.b = append(x.b, `<c r="`...)
	x.b = append(x.b, x.letters[column]...)
	x.b = strconv.AppendInt(x.b, int64(x.row), 10)
	if style > 0 {
		x.b = append(x.b, `" s="`...)
		x.b = strconv.AppendInt(x.b, int64(style), 10)
	}
	if typ != "" {
		x.b = append(x.b, `" t="`...)
		x.b = append(x.b, typ...)
	}
	if typ == "inlineStr" {
		x.b = append(x.b, `"><is><t xml:space="preserve">`...)
		return
	}
	x.b = append(x.b, `"><v>`...)
}

func (x *xlsxTable) text(column, style int, s string) {
	if s == "" {
		return
	}
	x.cell(column, style, "inlineStr")
	x.b = appendXML(x.b, s)
	x.b = append(x.b, "</t></is></c>"...)
}

// appendXML appends a text: escaped for XML, and what XML cannot hold as _xHHHH_ (ECMA-376, ST_Xstring).
func appendXML(b []byte, s string) []byte {
	units := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if units++; r > 0xFFFF {
			units++
		}
		if units > cellUnits {
			return b
		}
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r < ' ' && r != '\n' && r != '\t':
			b = append(b, "_x00"...)
			b = append(b, "0123456789ABCDEF"[r>>4], "0123456789ABCDEF"[r&15], '_')
		case r == '_' && escapes(s[i:]):
			b = append(b, "_x005F_"...)
		case r == 0xFFFE, r == 0xFFFF, r == utf8.RuneError:
			b = append(b, "\ufffd"...)
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return b
}

// escapes tells whether s begins with what a reader would take for an escape.
func escapes(s string) bool {
	return len(s) >= 7 && s[1] == 'x' && s[6] == '_' && strings.Trim(s[2:6], "0123456789abcdefABCDEF") == ""
}

// serial is a time as spreadsheets count: days since 1899-12-30, as its zone's clocks show it, to the millisecond.
func serial(t time.Time) float64 {
	_, offset := t.Zone()
	const epoch = 25569 // days from 1899-12-30 to 1970-01-01
	return epoch + float64(t.UnixMilli()+int64(offset)*1000)/86400e3
}

// close writes what names the sheets. A workbook has one at least.
func (x *xlsxTable) close() error {
	if x.err != nil {
		return x.err
	}
	if x.sheets == 0 {
		if err := x.open(); err != nil {
			return err
		}
	}
	if err := x.end(); err != nil {
		return err
	}
	var sheets, relations strings.Builder
	for i := 1; i <= x.sheets; i++ {
		name := "calls"
		if i > 1 {
			name += " " + strconv.Itoa(i)
		}
		fmt.Fprintf(&sheets, `<sheet name="%s" sheetId="%d" r:id="rId%d"/>`, name, i, i)
		fmt.Fprintf(&relations, `<Relationship Id="rId%d" Type="%s/worksheet" Target="worksheets/sheet%d.xml"/>`, i, relationTypes, i)
	}
	fmt.Fprintf(&relations, `<Relationship Id="rId%d" Type="%s/styles" Target="styles.xml"/>`, x.sheets+1, relationTypes)
	for _, p := range [][2]string{
		{"xl/workbook.xml", workbookHead + sheets.String() + "</sheets></workbook>"},
		{"xl/_rels/workbook.xml.rels", relationsHead + relations.String() + "</Relationships>"},
		{"_rels/.rels", relationsHead + `<Relationship Id="rId1" Type="` + relationTypes + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/styles.xml", styleSheet},
	} {
		if err := x.part(p[0], p[1]); err != nil {
			return err
		}
	}
	return x.zip.Close()
}

func (x *xlsxTable) part(name, content string) error {
	w, err := x.zip.Create(name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, content)
	return err
}

const (
	xmlHead       = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	spreadsheetNS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
	relationTypes = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	contentBase   = "application/vnd.openxmlformats-officedocument.spreadsheetml."

	contentTypes = xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Default Extension="xml" ContentType="` + contentBase + `worksheet+xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="` + contentBase + `sheet.main+xml"/>` +
		`<Override PartName="/xl/styles.xml" ContentType="` + contentBase + `styles+xml"/></Types>`
	relationsHead = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`
	workbookHead  = xmlHead + `<workbook xmlns="` + spreadsheetNS + `" xmlns:r="` + relationTypes + `"><sheets>`
	sheetHead     = xmlHead + `<worksheet xmlns="` + spreadsheetNS + `"><sheetViews><sheetView workbookViewId="0">` +
		`<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>` +
		`<cols><col min="1" max="1" width="29" customWidth="1"/><col min="2" max="2" width="23" customWidth="1"/>` +
		`<col min="3" max="18" width="14" customWidth="1"/><col min="19" max="20" width="23" customWidth="1"/></cols>` +
		`<sheetData><row r="1">`
	styleSheet = xmlHead + `<styleSheet xmlns="` + spreadsheetNS + `">` +
		`<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd\ hh:mm:ss.000"/><numFmt numFmtId="165" formatCode="0.000"/></numFmts>` +
		`<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>` +
		`<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>` +
		`<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>` +
		`<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>` +
		`<cellXfs count="4"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>` +
		`<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>` +
		`<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>` +
		`<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>` +
		`<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>`
)
