export {
  type HiddenConnection,
  type HiddenQuery,
  HiddenQueryError,
  type HiddenResult,
  type ResultColumn,
  type RowTaker,
  together,
} from '../catalog/connection.ts';
