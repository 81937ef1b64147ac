/// A place in the text of a header: the words from which the parsers of both headers are made.
///
/// It never recurses and copies no more than the header, so no header can exhaust the stack or the memory.
struct HeaderScanner {
  let file: String
  let repair: String
  let text: [UInt8]
  var position = 0

  /// More axes than this no engine takes.
  static let maximumRank = 64

  init(_ text: Bytes, of file: String, repair: String) {
    (self.file, self.repair, self.text) = (file, repair, text.withUnsafeBytes(Array.init))
  }

  func error(_ problem: String) -> ArrayFileError { ArrayFileError(file, .badData, problem, repair: repair) }

  /// The error of finding something else here.
  func junk(insteadOf expected: String) -> ArrayFileError {
    error("has junk in its header at byte \(position), where \(expected) should be")
  }

  /// The next byte that is not white space; it stays where it is.
  mutating func next() -> UInt8? {
    while position < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[position]) { position += 1 }
    return position < text.count ? text[position] : nil
  }

  /// Whether the character comes next; if so, it is passed.
  mutating func consume(_ character: Unicode.Scalar) -> Bool {
    guard next() == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func expect(_ character: Unicode.Scalar) throws(ArrayFileError) {
    guard consume(character) else { throw junk(insteadOf: "'\(character)'") }
  }

  mutating func expectEnd() throws(ArrayFileError) {
    guard next() == nil else { throw junk(insteadOf: "its end") }
  }

  /// Whether the word comes next; if so, it is passed.
  mutating func consume(word: String) -> Bool {
    guard next() != nil, text[position...].starts(with: word.utf8) else { return false }
    position += word.utf8.count
    return true
  }

  /// A whole number that is not negative.
  mutating func integer() throws(ArrayFileError) -> Int {
    _ = next()
    let digits = text[position...].prefix { (0x30...0x39).contains($0) }
    guard !digits.isEmpty, digits.count == 1 || digits.first != 0x30 else {
      throw next() == UInt8(ascii: "-")
        ? error("has a negative number in its header") : junk(insteadOf: "a whole number")
    }
    guard let value = Int(String(decoding: digits, as: UTF8.self)) else {
      throw error("has a number in its header that is too large (\(digits.count) digits)")
    }
    position = digits.endIndex
    return value
  }
}
