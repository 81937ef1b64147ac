/// A place in the text of a table.
struct TableScanner {
  private let text: UnsafeRawBufferPointer
  private let file: String
  private var position = 0
  private var line = 1
  private var separator = UInt8(ascii: ",")

  private static let (newline, carriageReturn) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))
  private static let (space, tab) = (UInt8(ascii: " "), UInt8(ascii: "\t"))
  private static let quote = UInt8(ascii: "\"")
  private static let repair = "a table holds numbers, separated by commas, tabs or semicolons"

  init(_ text: UnsafeRawBufferPointer, of file: String) {
    (self.text, self.file) = (text, file)
    if text.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
  }

  /// Reads the whole text.
  mutating func table() throws(ArrayFileError) -> HostArray {
    skipBlankLines()
    separator = firstLineSeparator()
    var values: [Double] = []
    var (columns, firstRow) = (0, 0)
    while skipBlankLines() {
      let (row, start) = (line, values.count)
      var (column, word): (Int, (column: Int, cell: Range<Int>)?) = (0, nil)
      repeat {
        column += 1
        let cell = try nextCell(column)
        if let number = number(cell) {
          values.append(number)
        } else if word == nil {
          word = (column, cell)
        }
      } while passSeparator()

      // The first line may hold names, but then nothing else; a mistyped number is no name.
      if let word, firstRow > 0 || values.count > start || isNumeric(word.cell) {
        let text = String(decoding: text[word.cell], as: UTF8.self)
        let problem = text.isEmpty ? "is empty" : "is \(ArrayFileError.quote(text)), which is not a number"
        throw error("row \(row), column \(word.column) \(problem)")
      }
      if firstRow == 0 { (columns, firstRow) = (column, row) }
      guard column == columns else {
        throw error(
          "row \(row) has \(Self.columns(column)), but row \(firstRow) has \(columns)",
          repair: "give every row the same number of columns")
      }
    }
    guard !values.isEmpty else { throw error("has no rows of numbers") }
    return HostArray(values, shape: [values.count / columns, columns])
  }

  private func error(_ problem: String, repair: String = repair) -> ArrayFileError {
    ArrayFileError(file, .badData, problem, repair: repair)
  }

  private static func columns(_ count: Int) -> String { count == 1 ? "1 column" : "\(count) columns" }

  /// A tab if the first line has one outside quotes, else a semicolon, else a comma.
  private func firstLineSeparator() -> UInt8 {
    var isQuoted = false
    var found: Set<UInt8> = []
    for byte in text[position...] {
      if byte == Self.quote { isQuoted.toggle() }
      if isQuoted { continue }
      if byte == Self.newline || byte == Self.carriageReturn { break }
      found.insert(byte)
    }
    return [Self.tab, UInt8(ascii: ";")].first(where: found.contains) ?? UInt8(ascii: ",")
  }

  /// Passes over lines of nothing but white space; whether there is another one after them.
  @discardableResult
  private mutating func skipBlankLines() -> Bool {
    var end = position
    while end < text.count {
      if isSpace(text[end]) {
        end += 1
      } else if isNewline(text[end]) {
        position = end
        passNewline()
        end = position
      } else {
        return true
      }
    }
    position = end
    return false
  }

  /// Passes a separator and returns `true`, or the end of a line.
  private mutating func passSeparator() -> Bool {
    guard position < text.count else { return false }
    if text[position] == separator {
      position += 1
      return true
    }
    passNewline()
    return false
  }

  private mutating func passNewline() {
    let isReturn = text[position] == Self.carriageReturn
    position += 1
    if isReturn, position < text.count, text[position] == Self.newline { position += 1 }
    line += 1
  }

  private func isNewline(_ byte: UInt8) -> Bool { byte == Self.newline || byte == Self.carriageReturn }
  private func isSpace(_ byte: UInt8) -> Bool { byte == Self.space || byte == Self.tab && separator != Self.tab }

  /// The contents of the cell here, without spaces or quotes around them; stops before what ends it.
  private mutating func nextCell(_ column: Int) throws(ArrayFileError) -> Range<Int> {
    while position < text.count, isSpace(text[position]) { position += 1 }
    if position < text.count, text[position] == Self.quote { return try nextQuotedCell(column) }
    let start = position
    var end = start
    while position < text.count, text[position] != separator, !isNewline(text[position]) {
      position += 1
      if !isSpace(text[position - 1]) { end = position }
    }
    return start..<end
  }

  private mutating func nextQuotedCell(_ column: Int) throws(ArrayFileError) -> Range<Int> {
    let (row, start) = (line, position + 1)
    position = start
    while true {
      guard position < text.count else {
        throw error("row \(row), column \(column) has no closing quote", repair: "close it")
      }
      if text[position] == Self.quote {
        // Two quotes stand for one.
        guard position + 1 < text.count, text[position + 1] == Self.quote else { break }
        position += 2
      } else if isNewline(text[position]) {
        passNewline()
      } else {
        position += 1
      }
    }
    let end = position
    position += 1
    while position < text.count, isSpace(text[position]) { position += 1 }
    guard position == text.count || text[position] == separator || isNewline(text[position]) else {
      throw error("row \(row), column \(column) goes on after its closing quote", repair: "quote the whole cell")
    }
    return start..<end
  }

  /// Whether a cell begins as numbers do.
  private func isNumeric(_ cell: Range<Int>) -> Bool { text[cell].first.map("+-.0123456789".utf8.contains) ?? false }

  /// The number that a cell holds, correctly rounded.
  private func number(_ cell: Range<Int>) -> Double? {
    var index = cell.lowerBound
    func digit() -> UInt64? {
      guard index < cell.upperBound, case let digit = text[index] &- UInt8(ascii: "0"), digit < 10 else { return nil }
      return UInt64(digit)
    }
    func pass(_ characters: StaticString) -> Bool {
      guard index < cell.upperBound else { return false }
      let isThere = characters.withUTF8Buffer { $0.contains(text[index]) }
      index += isThere ? 1 : 0
      return isThere
    }

    let isNegative = index < cell.upperBound && text[index] == UInt8(ascii: "-")
    _ = pass("+-")
    var (mantissa, digits, exponent): (UInt64, Int, Int) = (0, 0, 0)
    var isShort = true
    func passDigits(exponentStep: Int) {
      while let digit = digit() {
        (index, digits, exponent) = (index + 1, digits + 1, exponent + exponentStep)
        // Up to 10¹⁵ is exact in a Double; longer numbers go the slow way.
        if mantissa < 100_000_000_000_000 { mantissa = 10 * mantissa + digit } else { isShort = false }
      }
    }
    passDigits(exponentStep: 0)
    if pass(".") { passDigits(exponentStep: -1) }
    guard digits > 0 else { return named(cell, isNegative: isNegative) }
    if pass("eE") {
      let isMinus = index < cell.upperBound && text[index] == UInt8(ascii: "-")
      _ = pass("+-")
      guard digit() != nil else { return nil }
      var power = 0
      while let digit = digit() {
        index += 1
        power = min(10 * power + Int(digit), 1_000_000)
      }
      exponent += isMinus ? -power : power
    }
    guard index == cell.upperBound else { return nil }

    // Both factors are exact, so one rounding is all there is.
    if isShort, abs(exponent) <= 22 {
      let magnitude =
        exponent < 0 ? Double(mantissa) / Self.powersOfTen[-exponent] : Double(mantissa) * Self.powersOfTen[exponent]
      return isNegative ? -magnitude : magnitude
    }
    return Double(String(decoding: text[cell], as: UTF8.self))
  }

  private func named(_ cell: Range<Int>, isNegative: Bool) -> Double? {
    guard cell.count <= 9 else { return nil }
    let word = String(decoding: text[cell], as: UTF8.self).lowercased()
    switch word.first == "+" || word.first == "-" ? String(word.dropFirst()) : word {
    case "nan": return .nan
    case "inf", "infinity": return isNegative ? -.infinity : .infinity
    default: return nil
    }
  }

  private static let powersOfTen: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
  ]
}
