import ScorefieldArrays
import Testing

@Suite struct CSVTests {
  @Test(
    "NumPy's tables come as they were, with any separator, line ending and header",
    arguments: ["table", "table-names", "table-semicolons", "table-tabs"])
  func goldens(_ name: String) throws {
    let table = try CSV.read(golden("\(name).csv"))
    let expected = try NPY.read(golden("table.npy"))
    #expect(table.shape == expected.shape && table.elementType == .float64)
    #expect(bits(table) == bits(expected))
  }

  @Test("numbers are rounded as Swift rounds them", arguments: numbers)
  func rounding(_ text: String) throws {
    let value = try parse(text).values[0]
    #expect(value.bitPattern == Double(text)?.bitPattern, "\(value)")
  }

  static let numbers = hardNumbers + randomNumbers + (-30...30).map { "123e\($0)" }
  private static let hardNumbers: [String] = [
    "0", "-0", "+5", "1.", ".5", "-.5e-3", "1e22", "1e23", "123456789012345e22", "1234567890123456e22",
    "9007199254740993", "9007199254740992.5", "8.5e-5", "5e-324", "2.5e-324", "1.7976931348623157e308", "0.1",
    "0.30000000000000004", "1e-22", "3e-23", "1E+5", "00012", "inf", "-INF", "-Infinity", "1e400", "-1e400", "1e-400",
    "0e99999999999999999999", "999999999999999", "99999999999999.9", String(repeating: "9", count: 400),
    "0.\(String(repeating: "0", count: 400))1",
  ]
  private static let randomNumbers: [String] = (0..<400 as Range<UInt64>).map { seed in
    var generator = SplitMix64(state: seed)
    let isSmall = seed % 2 == 0
    return (isSmall ? Double.random(in: 0..<1, using: &generator) : Double(bitPattern: generator.next() & ~(1 << 62)))
      .description
  }

  @Test("a table is what lies between the separators")
  func layouts() throws {
    for text in [
      "1,2\n3,4", "1,2\r\n3,4\r\n", "1,2\r3,4\r", "\u{FEFF}1,2\n3,4\n", "\n \n1,2\n\t\n\n3,4\n  ", " 1 , 2\n3 ,\t4 ",
      "\"1\",\"2\"\n \"3\" ,4\n", "1\t2\n3\t4", "1;2\n3;4\n", "a,b\n1,2\n3,4", "\"a;\"\"\n\",\n1,2\n3,4", ",\n1,2\n3,4",
    ] {
      let table = try parse(text)
      #expect(table.shape == [2, 2] && table.values == [1, 2, 3, 4], "\(text)")
    }
    #expect(try parse("x\n1\n\n2\n").shape == [2, 1])
    #expect(try parse("nan,-NaN\n").values.allSatisfy { $0.isNaN })
  }

  @Test("what a table must not be is said in one sentence", arguments: refused)
  func refusals(_ input: BadInput) {
    let error = #expect(throws: ArrayFileError.self) { try CSV.parse(Bytes(input.bytes), name: "x.csv") }
    #expect(error?.description == "x.csv: \(input.sentence)")
    #expect(error?.category == .badData)
  }

  private static let repair = "a table holds numbers, separated by commas, tabs or semicolons"
  static let refused: [BadInput] = [
    BadInput("", "has no rows of numbers; \(repair)"),
    BadInput("\n \r\n", "has no rows of numbers; \(repair)"),
    BadInput("a,b\n", "has no rows of numbers; \(repair)"),
    BadInput("1,2\n3\n", "row 2 has 1 column, but row 1 has 2; give every row the same number of columns"),
    BadInput("a,b\n\n1,2,3", "row 3 has 3 columns, but row 1 has 2; give every row the same number of columns"),
    BadInput("1,2\r\n3,four", "row 2, column 2 is 'four', which is not a number; \(repair)"),
    BadInput("a,1\n3,4", "row 1, column 1 is 'a', which is not a number; \(repair)"),
    BadInput("a,b\nc,d\n3,4", "row 2, column 1 is 'c', which is not a number; \(repair)"),
    BadInput("1,2\n3,\n", "row 2, column 2 is empty; \(repair)"),
    BadInput("1,2,\n", "row 1, column 3 is empty; \(repair)"),
    BadInput("1 2\n3 4\n", "row 1, column 1 is '1 2', which is not a number; \(repair)"),
    BadInput("1\n1 2\n", "row 2, column 1 is '1 2', which is not a number; \(repair)"),
    BadInput("1\n0x10\n", "row 2, column 1 is '0x10', which is not a number; \(repair)"),
    BadInput("1\n1e\n", "row 2, column 1 is '1e', which is not a number; \(repair)"),
    BadInput("1\n1e5.0\n", "row 2, column 1 is '1e5.0', which is not a number; \(repair)"),
    BadInput("1\n--1\n", "row 2, column 1 is '--1', which is not a number; \(repair)"),
    BadInput("1\n.\n", "row 2, column 1 is '.', which is not a number; \(repair)"),
    BadInput("1\ninfinite\n", "row 2, column 1 is 'infinite', which is not a number; \(repair)"),
    BadInput("1\nnan(0)\n", "row 2, column 1 is 'nan(0)', which is not a number; \(repair)"),
    BadInput("2020-01,a\n1,2", "row 1, column 1 is '2020-01', which is not a number; \(repair)"),
    BadInput("1,5;2,5\n3;4", "row 1, column 1 is '1,5', which is not a number; \(repair)"),
    BadInput("1,\"2\n", "row 1, column 2 has no closing quote; close it"),
    BadInput("1,\"2\"3\n", "row 1, column 2 goes on after its closing quote; quote the whole cell"),
  ]

  @Test("a written table is read again, to the last bit")
  func roundTrip() throws {
    try inTemporaryFolder { folder in
      let table = HostArray(
        [1, -0.0, .pi, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .infinity, -.infinity, 0.1, -2.5e-9, -.nan],
        shape: [5, 2])
      try CSV.write(table, to: "\(folder)/a.csv")
      let text = String(decoding: try contents(of: "\(folder)/a.csv"), as: UTF8.self)
      #expect(
        text == """
          1.0,-0.0
          3.141592653589793,5e-324
          1.7976931348623157e+308,inf
          -inf,0.1
          -2.5e-09,nan

          """)
      let again = try CSV.read("\(folder)/a.csv")
      #expect(again.shape == [5, 2] && bits(again).dropLast(8) == bits(table).dropLast(8))
    }
    #expect(try CSV.parse(CSV.encode(HostArray([1, 2], shape: [2]), name: "x"), name: "x").shape == [2, 1])
  }

  @Test("what is no table of doubles is not written")
  func unwritable() {
    let array = HostArray(.float32, shape: [1], bytes: Bytes([0, 0, 0, 0]))
    let error = #expect(throws: ArrayFileError.self) { try CSV.encode(array, name: "x.csv") }
    #expect(error?.description == "x.csv: a table holds float64 [rows, columns], not float32 [1]; write a .npy file")
    #expect(throws: ArrayFileError.self) { try CSV.encode(HostArray([], shape: [0, 2]), name: "x.csv") }
    #expect(throws: ArrayFileError.self) { try CSV.encode(HostArray([1], shape: []), name: "x.csv") }
    #expect(throws: ArrayFileError.self) { try CSV.encode(HostArray([1], shape: [1, 1, 1]), name: "x.csv") }
  }

  private func parse(_ text: String) throws -> (shape: [Int], values: [Double]) {
    let table = try CSV.parse(Bytes(text), name: "x.csv")
    return (table.shape, table.withUnsafeBytes { Array($0.bindMemory(to: Double.self)) })
  }
}
